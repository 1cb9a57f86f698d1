"""Becomes a program of the local stack, with the environment from the program's file.

    python -m local.launch FILE COMMAND…

supervisord can only give all programs the same variables, or write each program's into its configuration,
secrets included.
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
