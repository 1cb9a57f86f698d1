"""`python -m local.checked COMMAND`: runs a command that needs no set-up, or says why it cannot run.

An installation that failed may have changed nothing, and what runs can still be stopped. So this looks for
what the commands import, and not for the marks of an installation.
"""

import os
import sys
import traceback

_EXPLAIN = '. local/bootstrap.sh; . local/runnable.sh; explain "$1"'


def main() -> int:
    try:
        from local import __main__, service_settings

        # The settings' libraries are needed only where their names are not kept from earlier.
        service_settings.names()
    except Exception as error:  # noqa: BLE001 - half a package may raise anything
        why_not = traceback.format_exception_only(error)[-1].strip()
        os.execvp("bash", ["bash", "-euo", "pipefail", "-c", _EXPLAIN, "bash", why_not])
    return __main__.main()


if __name__ == "__main__":
    sys.exit(main())
