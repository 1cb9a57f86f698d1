"""Words as a shell quotes them."""

import subprocess
from pathlib import Path


def quoted(path: Path) -> str:
    """Returns the path as bash's `printf %q` writes it."""
    words = ["bash", "-c", 'printf %q "$1"', "bash", str(path)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
