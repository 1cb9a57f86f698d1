"""Loads the settings of the last start, for commands that must work whatever the settings are now."""

import sys
from collections.abc import Mapping
from pathlib import Path

from local import config
from local.config import LocalConfig
from local.errors import LocalError
from local.port_settings import read_ports


def load(root: Path, environ: Mapping[str, str]) -> LocalConfig:
    """Returns the settings, or those of the last start with a warning if the present ones are wrong."""
    try:
        return config.load(root, environ)
    except LocalError as error:
        print(f"warning: {error}\nwarning: the settings of the last start are used", file=sys.stderr)
        return _of_last_start(root, environ)


def _of_last_start(root: Path, environ: Mapping[str, str]) -> LocalConfig:
    defaults = read_ports({})
    settings = LocalConfig(root, environ, defaults).settings()
    others = {name: value for name, value in environ.items() if name not in settings}
    return LocalConfig(root, others, defaults).running()
