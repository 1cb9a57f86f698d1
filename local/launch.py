"""Becomes a program of the local stack, with the environment that a file holds for it.

    python -m local.launch FILE COMMAND…

supervisord would write a program's variables into its configuration, or give all programs the same ones.
"""

import json
import os
import sys
from pathlib import Path


def main() -> None:
    file, *command = sys.argv[1:]
    own = json.loads(Path(file).read_text())
    os.execvpe(command[0], command, {**os.environ, **own})


if __name__ == "__main__":
    main()
