"""Starts the processor, which turns tasks into stems and results: `python -m processor`

`python -m processor models list|fetch NAME|add FILE|prepare NAME|check` manages the model files instead.
"""

import sys

from common.settings import command_line

_USAGE = (
    "usage: python -m processor [models list|fetch NAME|add FILE|prepare NAME|check]"
    "  (the processor's settings are environment variables)"
)


def main() -> int:
    # The service takes a second of CPU to import, and the commands need nothing of it.
    if sys.argv[1:2] == ["models"]:
        from processor.preparation import command

        return command_line.run(lambda: command.main(sys.argv[2:]))
    command_line.refuse(sys.argv[1:], _USAGE)
    from processor import run

    return run.main()


if __name__ == "__main__":
    sys.exit(main())
