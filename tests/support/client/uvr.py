"""Runs the command `uvr` as a process of its own, as users do."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

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
        return subprocess.run(
            [sys.executable, "-m", "uvr_client", *arguments],
            cwd=self.home,
            env={
                "HOME": str(self.home),
                "PYTHONPATH": str(REPOSITORY / "client"),
                "UVR_URL": self.url,
                "UVR_USERNAME": "admin",
                "UVR_PASSWORD": password,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
