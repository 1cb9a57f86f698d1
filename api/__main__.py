"""`python -m api` answers on API_HOST:API_PORT until SIGTERM or SIGINT.

`python -m api hash-password NAME` prints a line for BASIC_AUTH_USERS_FILE instead.
`python -m api keys` makes, lists and revokes keys for programs.
"""

import sys

from common.settings import command_line

_USAGE = (
    "usage: python -m api [hash-password NAME | keys create|list|revoke …]  "
    "(the api's settings are environment variables)"
)


def main() -> int:
    # The service takes a second of CPU to import, and the commands need nothing of it.
    if sys.argv[1:2] == ["hash-password"]:
        from api.auth import hash_password

        return command_line.run(lambda: hash_password.main(sys.argv[2:]))
    if sys.argv[1:2] == ["keys"]:
        from api.auth import keys_command

        return command_line.run(lambda: keys_command.main(sys.argv[2:]))
    command_line.refuse(sys.argv[1:], _USAGE)
    from api import run

    run.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
