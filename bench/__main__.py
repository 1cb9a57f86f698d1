"""Measures speed and memory against audio-separator and the usual clients: `python -m bench`

Each comparison is between two things measured in this run. A table comes at the end. Plots, and the figures
as JSON, go into a directory. The load beside each figure tells whether the machine was busy otherwise.
"""

import argparse
import dataclasses
import importlib
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from pathlib import Path

from bench import report
from bench.architectures import ARCHITECTURES
from bench.setup import FULL, QUICK, Bench

PARTS = (
    "engine",
    "memory",
    "architectures",
    "service",
    "transfer",
    "stage",
    "upload",
    "scaling",
    "heavy",
    "choices",
    "worker",
    "takeover",
    "view",
    "streams",
    "submit",
    "idle",
    "outage",
    "neighbours",
    "long_jobs",
    "console",
)


def main() -> int:
    options = _options()
    options.results.mkdir(parents=True, exist_ok=True)
    print(report.machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="uvr-bench-") as directory:
        sizes = QUICK if options.quick else FULL
        sizes = dataclasses.replace(sizes, repeats=options.repeats or sizes.repeats)
        bench = Bench(
            sizes,
            Path(directory),
            options.results,
            random.Random(options.seed),
            options.device,
            options.architectures,
            options.models,
        )
        _run_parts(bench, options.only)
    return _conclude(bench)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results", nargs="?", type=Path, default=Path("bench-results"), help="for plots and figures"
    )
    parser.add_argument("--only", metavar="PART,…", type=_parts, default=PARTS, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, once each, as a test")
    parser.add_argument("--repeats", type=int, help="measurements of each side (3, or 1 with --quick)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order in which the sides take turns")
    parser.add_argument(
        "--architectures",
        metavar="NAME,…",
        type=_architectures,
        default=(),
        help=f"only these in part architectures, of {', '.join(ARCHITECTURES)}",
    )
    parser.add_argument(
        "--models", type=Path, help="where the networks of part architectures are kept (default: nowhere)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="for both sides")
    return parser.parse_args()


def _run_parts(bench: Bench, parts: Iterable[str]) -> None:
    for part in parts:
        began_s = time.monotonic()
        print(f"{part} …", flush=True)
        try:
            importlib.import_module(f"bench.part_{part}").run(bench)
        except KeyboardInterrupt:
            bench.fail(f"interrupted during {part}")
            break
        except Exception as error:  # noqa: BLE001 (keep the figures of the other parts, which took long)
            traceback.print_exc()
            bench.fail(f"{part} failed: {type(error).__name__}: {error}")
        bench.note(f"{part} took {time.monotonic() - began_s:.0f} s")


def _parts(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if unknown := [part for part in chosen if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return chosen


def _architectures(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if unknown := [name for name in chosen if name not in ARCHITECTURES]:
        known = ", ".join(ARCHITECTURES)
        raise argparse.ArgumentTypeError(f"no architecture {', '.join(unknown)}; there are {known}")
    return chosen


def _conclude(bench: Bench) -> int:
    """Write and print the figures; return 1 when a target was missed or a part failed."""
    report.save(bench.results / "results.json", bench.rows, bench.notes, bench.profiles)
    try:
        from bench import plots
    except ModuleNotFoundError:
        print("no plots: matplotlib is not installed (requirements-bench.txt)")
    else:
        plots.write(bench.results, bench.rows)
        plots.write_profiles(bench.results, bench.profiles)
    print(f"\n{report.table(bench.rows)}\n\n{report.machine()}; results in {bench.results}")
    for failure in bench.failures:
        print(failure)
    return int(bool(bench.failures) or any(row.verdict == "MISSED" for row in bench.rows))


if __name__ == "__main__":
    sys.exit(main())
