"""`python -m api` answers on API_HOST:API_PORT until SIGTERM or SIGINT.

`python -m api hash-password NAME` prints a line for BASIC_AUTH_USERS_FILE instead.
`python -m api keys` makes, lists and revokes keys for programs.
Each imports its own part alone, since the server's takes a second.
"""

import sys

from common.settings import command_line

_USAGE = (
    "usage: python -m api [hash-password NAME | keys create|list|revoke …]  "
    "(the api's settings are environment variables)"
)


def _hash_password() -> int:
    from api.auth import hash_password

    return hash_password.main(sys.argv[2:])


def _keys() -> int:
    from api.auth import keys_command

    return keys_command.main(sys.argv[2:])


def main() -> None:
    """Runs the command, or the server where none is named."""
    match sys.argv[1:2]:
        case ["hash-password"]:
            sys.exit(command_line.run(_hash_password))
        case ["keys"]:
            sys.exit(command_line.run(_keys))
    command_line.refuse(sys.argv[1:], _USAGE)
    from api import server

    server.main()


if __name__ == "__main__":
    main()
