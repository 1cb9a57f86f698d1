"""What commands share: arguments that a service does not take, and how a command ends."""

import os
import sys
from collections.abc import Callable

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def refuse(arguments: list[str], usage: str) -> None:
    """Ends the process if there are `arguments`, none of which is a command: 0 for `--help`, else 2."""
    if not arguments:
        return
    asked = arguments[0] in ("-h", "--help")

    def tell() -> int:
        print(usage, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2

    sys.exit(run(tell))


def run(command: Callable[[], int]) -> int:
    """Runs a command and returns its exit code.

    The command ends without a word when it is interrupted (130), and when nobody reads its output any more,
    as with `| head` (141).
    """
    try:
        try:
            return command()
        finally:
            # Else the interpreter writes the rest at its end, where nobody catches what that raises.
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):
            _silence(stream)
        return EXIT_BROKEN_PIPE


def _silence(stream) -> None:
    """What is still to be written must not raise again at the interpreter's end."""
    if stream is None:
        return
    try:
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
