"""`python -m api` answers on API_HOST:API_PORT until SIGTERM or SIGINT.

`python -m api hash-password NAME` prints a line for BASIC_AUTH_USERS_FILE instead.
`python -m api keys` makes, lists and revokes keys for programs.
"""

import sys

from api import server
from api.auth import hash_password, keys_command
from common.settings import command_line

_USAGE = (
    "usage: python -m api [hash-password NAME | keys create|list|revoke …]  "
    "(the api's settings are environment variables)"
)


if __name__ == "__main__":
    if sys.argv[1:2] == ["hash-password"]:
        sys.exit(command_line.run(lambda: hash_password.main(sys.argv[2:])))
    if sys.argv[1:2] == ["keys"]:
        sys.exit(command_line.run(lambda: keys_command.main(sys.argv[2:])))
    command_line.refuse(sys.argv[1:], _USAGE)
    server.main()
