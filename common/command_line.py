"""What the services take as arguments: nothing, or one of their commands."""

import sys


def refuse(arguments: list[str], usage: str) -> None:
    """Ends the process if there are `arguments`, none of which is a command: 0 for `--help`, else 2."""
    if not arguments:
        return
    asked = arguments[0] in ("-h", "--help")
    print(usage, file=sys.stdout if asked else sys.stderr)
    sys.exit(0 if asked else 2)
