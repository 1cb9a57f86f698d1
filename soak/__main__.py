"""Nothing lost, nothing seen twice, while everything is killed: `python -m soak`

Real services, broker and store on this machine; hosts and receivers that fail; processes killed, frozen and
stopped every few seconds. All of it comes from the seed, so that a run can be repeated; plan.json in the
directory has it in words. Ends by itself with a table; exit code 1 and a line for each violation.
"""

import argparse
import dataclasses
import logging
import sys
import tempfile
from pathlib import Path

from soak import faults
from soak.plan import Options
from soak.run import soak


def main() -> int:
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
    parser.add_argument("--real-engine", action="store_true", help="rather than a quick stand-in")
    parser.add_argument("--calm", action="store_true", help="no kills, no freezes")
    parser.add_argument(
        "--fault", dest="faults", action="append", default=[], choices=faults.NAMES,
        help="put a fault in on purpose, which must be found",
    )  # fmt: skip
    parser.add_argument("--directory", type=Path, help="for all files of the run; a new one if none is given")
    arguments = vars(parser.parse_args())
    directory = arguments.pop("directory") or Path(tempfile.mkdtemp(prefix="uvr-soak-"))
    options = dataclasses.replace(default, **arguments | {"faults": tuple(arguments["faults"])})
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("tests").setLevel(logging.INFO)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    report = soak(options, directory.resolve())
    print(f"{report.text}\n\nfiles of the run: {directory}")
    return int(bool(report.violations))


if __name__ == "__main__":
    sys.exit(main())
