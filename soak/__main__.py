"""Checks that nothing is lost and nothing is seen twice while processes are killed: `python -m soak`

Real services, a broker and a store run on this machine. Three users submit songs and batches, and must not
see each other's. Song hosts and receivers fail, and processes are killed, frozen and stopped every few
seconds. The seed decides all of it, so that a run can be repeated, and plan.json in the directory lists it.
The run ends with a table and a line for each violation. The exit code is 1 if there is a violation, and 2
if the soak could not run. A directory that it made for itself is removed after a run without violations.
"""

import argparse
import dataclasses
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from soak import faults
from soak.plan import Options
from soak.run import soak

log = logging.getLogger(__name__)

_VIOLATED, _NOT_RUN = 1, 2


def main() -> int:
    options, given = _arguments()
    directory = (given or Path(tempfile.mkdtemp(prefix="uvr-soak-"))).resolve()
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("soak").setLevel(logging.INFO)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    is_kept = True
    try:
        report = soak(options, directory)
        print(report.text)
        if not (report.violations or given):
            shutil.rmtree(directory)
            is_kept = False
        return _VIOLATED if report.violations else 0
    except Exception:  # a soak that could not run must not look like one that has found something
        log.exception("the soak could not run to its end")
        return _NOT_RUN
    finally:
        if is_kept:
            print(f"\nfiles of the run: {directory}", flush=True)


def _arguments() -> tuple[Options, Path | None]:
    """Return the command line's options, and the directory if it names one."""
    default = Options()
    parser = argparse.ArgumentParser(
        prog="python -m soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--jobs", type=int, default=default.jobs)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--processors", type=int, default=default.processors)
    parser.add_argument("--uploaders", type=int, default=default.uploaders)
    parser.add_argument("--rate", type=float, default=default.rate, help="jobs submitted a second")
    parser.add_argument("--stage", choices=("path", "s3"), default=default.stage, help="STAGE of the workers")
    parser.add_argument("--real-engine", action="store_true", help="instead of a quick stand-in")
    parser.add_argument("--calm", action="store_true", help="no kills, no freezes")
    parser.add_argument(
        "--fault", dest="faults", action="append", default=[], choices=faults.NAMES,
        help="add a fault on purpose, which the soak must find",
    )  # fmt: skip
    parser.add_argument("--directory", type=Path, help="for all files of the run (a new one)")
    arguments = vars(parser.parse_args())
    directory: Path | None = arguments.pop("directory")
    if why := faults.why_impossible(arguments["faults"], arguments["real_engine"]):
        parser.error(why)
    return dataclasses.replace(default, **arguments | {"faults": tuple(arguments["faults"])}), directory


if __name__ == "__main__":
    sys.exit(main())
