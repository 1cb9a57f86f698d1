"""Runs the uploader: `python -m uploader`

`python -m uploader make-signing-key` prints a new key for WEBHOOK_SIGNING_KEY instead.
"""

import sys

from common.settings import command_line

_USAGE = "usage: python -m uploader  (its settings are environment variables)"


def main() -> int:
    # The service takes a second of CPU to import, and the command needs nothing of it.
    if sys.argv[1:] == ["make-signing-key"]:
        from uploader.signing_key import print_new_key

        return print_new_key()
    command_line.refuse(sys.argv[1:], _USAGE)
    from uploader import run

    return run.main()


if __name__ == "__main__":
    sys.exit(main())
