"""Makes or fetches the model in a process of its own: the export alone takes more memory than a job."""

import sys
from pathlib import Path

from processor import child, models


def main(arguments: list[str]) -> None:
    link, (name, directory) = child.attach(arguments)
    child.serve(link, lambda message: None)
    try:
        models.ensure(name, Path(directory), fetch=True)
    except models.ModelUnavailable as error:
        link.send({"event": "failed", "reason": str(error)})
    else:
        link.send({"event": "done"})


if __name__ == "__main__":
    main(sys.argv[1:])
