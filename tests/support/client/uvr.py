"""Runs the command `uvr` as a process of its own."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.forked_command import run_forked
from tests.support.paths import REPOSITORY

_PATIENCE_S = 120


@dataclass(frozen=True)
class UvrCommand:
    """Calls `uvr` against the api at `url`, in the directory `home`, which is also its HOME."""

    url: str
    home: Path

    def __call__(
        self, *arguments: str, password: str = "password", timeout_s: float = _PATIENCE_S
    ) -> subprocess.CompletedProcess[str]:
        return run_forked(
            "uvr_client",
            *arguments,
            directory=self.home,
            environment={
                "HOME": str(self.home),
                "PYTHONPATH": str(REPOSITORY / "client"),
                "UVR_URL": self.url,
                "UVR_USERNAME": "admin",
                "UVR_PASSWORD": password,
            },
            timeout_s=timeout_s,
        )
