"""Copies the repository to a directory in which start_local.sh runs as on a user's machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from local import broker
from tests.support.paths import REPOSITORY
from tests.support.ports import take_ports
from tests.support.processor.models import copy_prepared_centre

NOT_COPIED = (
    ".git",
    ".venv*",
    ".local",
    ".env",
    ".*_cache",
)
PORTS = (
    "API_PORT",
    "PROCESSOR_HEALTH_PORT",
    "UPLOADER_HEALTH_PORT",
    "KAFKA_PORT",
    "KAFKA_CONTROLLER_PORT",
    "S3_PORT",
    "DEMO_PORT",
)
KEPT = (
    "PATH",
    "HOME",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "JDK_JAVA_OPTIONS",  # see tests.support.class_archive
    "PIP_INDEX_URL",
    "UV_CACHE_DIR",
    "UV_DEFAULT_INDEX",
)

# Characters with a meaning in the files that the local start writes for its programs.
ODD_NAME = """100% of my uvr, it's "é\\u" #1 ;2"""

# Only at the top: `processor/models` is code.
NOT_COPIED_FROM_THE_TOP = ("logs", "models", "outputs", "temp", "tests")


def _not_copied(directory: str, names: list[str]) -> set[str]:
    ignored = shutil.ignore_patterns(*NOT_COPIED)(directory, names)
    return ignored | ({*NOT_COPIED_FROM_THE_TOP} & {*names} if Path(directory) == REPOSITORY else set())


class Checkout:
    """A copy of the repository with its own settings and ports."""

    def __init__(self, root: Path):
        self.root = root
        shutil.copytree(REPOSITORY, root, ignore=_not_copied)
        self.env = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.env |= {name: str(port) for name, port in zip(PORTS, take_ports(len(PORTS)), strict=True)}
        self.env |= {
            "UVR_VENV": sys.prefix,
            "UVR_CACHE_DIR": str(broker.default_cache()),
            "MODEL_NAME": "spleeter-2stems",
            "DEVICE": "cpu",
            "CC": "/bin/false",
            # Each partition costs the broker and the groups' members time, at every start.
            "KAFKA_TOPIC_PARTITIONS": "3",
        }

    def use_centre_model(self) -> None:
        """Lets the stack separate by a model that costs next to nothing, and is prepared already."""
        self.env["MODEL_NAME"] = copy_prepared_centre(self.root / "models")

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["./start_local.sh", *arguments],
            cwd=self.root,
            env={**self.env, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
        )
