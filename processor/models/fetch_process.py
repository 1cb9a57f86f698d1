"""Fetches or makes a model in a process of its own, because making one takes more memory than a job."""

import sys
from pathlib import Path

from processor import child_process
from processor.models import model_files


def main(arguments: list[str]) -> None:
    """Fetch or make one model; send {"event": "done"} or {"event": "failed", "reason": …}."""
    channel, (name, directory) = child_process.attach(arguments)
    child_process.serve(channel, lambda message: None)
    try:
        model_files.ensure(name, Path(directory), fetch=True)
    except model_files.ModelUnavailable as error:
        channel.send({"event": "failed", "reason": str(error)})
    else:
        channel.send({"event": "done"})


if __name__ == "__main__":
    main(sys.argv[1:])
