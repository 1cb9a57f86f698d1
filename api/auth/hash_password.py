"""`python -m api hash-password NAME`: prints a line for BASIC_AUTH_USERS_FILE.

The command asks for the password twice on a terminal, and else reads the first line of standard input. It
takes no password from its arguments, because every user of the machine can read them.
"""

import getpass
import sys

from api.auth.users import make_line

_USAGE = "usage: python -m api hash-password NAME < FILE_WITH_THE_PASSWORD"


def main(arguments: list[str]) -> int:
    """Return the exit code."""
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
        raise ValueError("the passwords do not match")
    return password
