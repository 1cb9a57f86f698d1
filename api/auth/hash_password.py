"""`python -m api hash-password NAME`: prints a line for BASIC_AUTH_USERS_FILE.

The password comes from the terminal, asked for twice, or else from standard input's first line; never from
the arguments, which every user of the machine can read.
"""

import getpass
import sys

from api.auth.users import make_line

_USAGE = "usage: python -m api hash-password NAME < FILE_WITH_THE_PASSWORD"


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    if len(arguments) != 1:
        print(_USAGE, file=sys.stderr)
        return 2
    try:
        print(make_line(arguments[0], _ask()))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _ask() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass()
    if getpass.getpass("Again: ") != password:
        raise ValueError("these were two passwords")
    return password
