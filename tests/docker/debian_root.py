"""Makes a Debian root with Docker in it, once: it is kept in `.local/cache`."""

import os
import shutil
import subprocess
from pathlib import Path

_SUITE = "trixie"  # the first with Docker 26 and Compose 2.26; the service needs 25 and 2.24
_PACKAGES = (
    *("docker.io", "docker-cli", "docker-compose", "docker-buildx", "iptables", "iproute2"),
    *("ca-certificates", "procps", "busybox-static"),
    # libraries that a Python built for another Debian needs
    *("libssl3t64", "libffi8", "libsqlite3-0", "libbz2-1.0", "liblzma5", "libreadline8t64", "libncursesw6"),
    *("libuuid1", "libexpat1", "libgdbm6t64", "libdb5.3t64"),
)
_ARCHIVE = "http://deb.debian.org/debian"


def why_not() -> str | None:
    """Returns the reason why no engine can run here, or None."""
    if os.geteuid() != 0:
        return "a Docker engine needs root"
    if not shutil.which("apt-get"):
        return "the tests' Docker engine is made of Debian's packages, and there is no apt-get here"
    return None


def unpacked_root(cache: Path) -> Path:
    """Returns the directory of a Debian root with Docker in it, after making the root if it is missing.

    Raises AssertionError when debootstrap fails, CalledProcessError when apt-get fails.
    """
    root = cache / f"docker-{_SUITE}"
    stamp = root / ".packages"
    wanted = " ".join(_PACKAGES)
    if stamp.exists() and stamp.read_text() == wanted:
        return root
    if not shutil.which("debootstrap"):
        _apt_get("update", "-qq")
        _apt_get("install", "-y", "-qq", "--no-install-recommends", "debootstrap")
    shutil.rmtree(root, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    log = cache / "debootstrap.log"
    command = [
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(_PACKAGES)}",
        _SUITE,
        str(root),
        _mirror(),
    ]
    with log.open("wb") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise AssertionError(f"debootstrap failed, see {log}: {log.read_text(errors='replace')[-2000:]}")
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
    (root / "root").chmod(0o755)  # root's Python may be in it, which other users must be able to run
    stamp.write_text(wanted)
    return root


def _apt_get(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)


def _mirror() -> str:
    """Returns the archive that this machine's apt uses, or Debian's own."""
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    sites = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return next((site for site in sites if site.endswith("/debian")), _ARCHIVE)
