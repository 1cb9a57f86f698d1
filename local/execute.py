"""`./start_local.sh exec COMMAND…` runs a command with the stack's environment in the caller's directory."""

import os
import signal
import sys
from collections.abc import Mapping

from local import program_environment
from local.config import LocalConfig
from local.credentials import known_credentials
from local.errors import LocalError
from local.private_files import read_json
from local.supervision import Supervisor

# start_local.sh names the caller's directory here before it changes to the checkout.
CALLER_DIRECTORY = "UVR_CALLER_DIRECTORY"
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


def run(config: LocalConfig, command: list[str]) -> int:
    """Becomes `command`. Returns an exit code only when the command cannot be run. Raises LocalError."""
    if not command:
        raise LocalError("exec needs a command, such as: ./start_local.sh exec uvr list")
    if Supervisor(config).is_running():
        config = config.running()
    else:
        print("UVR API is not running here; start it with ./start_local.sh", file=sys.stderr)
    given = environment(config)
    os.chdir(given.pop(CALLER_DIRECTORY, os.getcwd()))
    # Python ignores SIGPIPE; with the default, the command ends without an error in `exec … | head`.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, given)
    except FileNotFoundError:
        print(f"error: there is no command {command[0]!r}", file=sys.stderr)
        return _NOT_FOUND
    except OSError as error:
        print(f"error: cannot run {command[0]!r}: {error.strerror}", file=sys.stderr)
        return _NOT_EXECUTABLE


def environment(config: LocalConfig) -> dict[str, str]:
    """Returns the stack's environment, with this stack's address and credentials for `uvr`.

    UVR_URL is always this stack's; the caller's UVR_USERNAME and UVR_PASSWORD are kept.
    """
    env = config.environment(_model_in_use(config))
    credentials = known_credentials(config)
    if credentials:
        env.setdefault("UVR_USERNAME", credentials[0])
        env.setdefault("UVR_PASSWORD", credentials[1])
    modules = os.pathsep.join((env["PYTHONPATH"], str(config.root / "client")))
    return env | {"UVR_URL": config.api_url, "PYTHONPATH": modules}


def _model_in_use(config: LocalConfig) -> str | None:
    """Returns the model that the processor runs with, which may be the fallback and not MODEL_NAME."""
    started_with: Mapping[str, str] = read_json(program_environment.file_of(config, "processor")) or {}
    return started_with.get("MODEL_NAME")
