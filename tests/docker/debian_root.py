"""Makes a Debian root with Docker in it, once: it is kept in `.local/cache`.

The packages are unpacked and not configured, so this takes a third of the CPU that debootstrap takes. What a
package's script would have done is done here, where the engine or the images need it.
"""

import os
import shutil
import subprocess
from pathlib import Path

_SUITE = "trixie"  # the first with Docker 26 and Compose 2.26; the service needs 25 and 2.24
_PACKAGES = (
    *("base-files", "base-passwd", "libc-bin", "bash", "dash", "coreutils", "findutils", "grep", "sed"),
    *("tar", "gzip", "util-linux", "mount", "passwd", "procps", "busybox-static"),
    *("docker.io", "docker-cli", "docker-compose", "iptables", "iproute2"),
    # libraries that a Python built for another Debian needs
    *("libssl3t64", "libffi8", "libsqlite3-0", "libbz2-1.0", "liblzma5", "libreadline8t64", "libncursesw6"),
    *("libuuid1", "libexpat1", "libgdbm6t64", "libdb5.3t64"),
    "libstdc++6",  # for Node, which builds the console
)
_ARCHIVE = "http://deb.debian.org/debian"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Left out: documentation, translations, and programs of Docker that no test runs.
_UNUSED = ("./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./usr/share/info", "./usr/bin/ctr")
# The files that the scripts of base-passwd and libc-bin would have copied.
_COPIES = {
    "etc/passwd": "usr/share/base-passwd/passwd.master",
    "etc/group": "usr/share/base-passwd/group.master",
    "etc/nsswitch.conf": "usr/share/libc-bin/nsswitch.conf",
}
# The names by which dockerd calls the firewall's program. iptables' script would have linked them.
_FIREWALL = [f"{name}{use}" for name in ("iptables", "ip6tables") for use in ("", "-save", "-restore")]


def why_not() -> str | None:
    """Returns the reason why no engine can run here, or None."""
    if os.geteuid() != 0:
        return "a Docker engine needs root"
    if not shutil.which("apt-get"):
        return "the tests' Docker engine is made of Debian's packages, and there is no apt-get here"
    return None


def unpacked_root(cache: Path) -> Path:
    """Returns the directory of a Debian root with Docker in it, after making the root if it is missing.

    Raises CalledProcessError when apt-get or dpkg-deb fails.
    """
    root = cache / f"docker-{_SUITE}"
    stamp = root / ".packages"
    wanted = " ".join(("unpacked", *_PACKAGES))
    if stamp.exists() and stamp.read_text() == wanted:
        return root
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    downloads = cache / "docker-packages"
    for package in _downloaded(downloads):
        _unpack(package, root)
    for name, source in _COPIES.items():
        shutil.copy(root / source, root / name)
    for name in _FIREWALL:
        (root / "usr/sbin" / name).symlink_to("xtables-nft-multi")
    (root / "root").chmod(0o755)  # root's Python may be in it, which other users must be able to run
    shutil.rmtree(downloads)
    stamp.write_text(wanted)
    return root


def _downloaded(directory: Path) -> list[Path]:
    """Lets apt download the packages, and what they need, as if nothing were installed."""
    if not _KEYRING.exists():
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", "debian-archive-keyring")
    shutil.rmtree(directory, ignore_errors=True)
    for name in ("lists/partial", "archives/partial"):
        (directory / name).mkdir(parents=True)
    (directory / "status").touch()
    sources = directory / "sources.list"
    sources.write_text(f"deb [signed-by={_KEYRING}] {_mirror()} {_SUITE} main\n")
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": directory,
        "Dir::State::Lists": directory / "lists",
        "Dir::State::Status": directory / "status",
        "Dir::Cache": directory,
        "Dir::Cache::Archives": directory / "archives",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",  # apt's own user may not be able to write here
        "APT::Update::Post-Invoke": "",
    }
    options = [f"--option={name}={value}" for name, value in settings.items()]
    _apt_get(*options, "update")
    _apt_get(*options, "install", "--yes", "--download-only", "--no-install-recommends", *_PACKAGES)
    # base-files comes first: it has the links, such as /bin, through which others are unpacked.
    packages = sorted((directory / "archives").glob("*.deb"), key=lambda file: file.name)
    return sorted(packages, key=lambda file: not file.name.startswith("base-files_"))


def _unpack(package: Path, root: Path) -> None:
    excluded = [f"--exclude={path}" for path in _UNUSED]
    unpack = ["tar", "-C", str(root), "--keep-directory-symlink", *excluded, "-xf", "-"]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as files:
        subprocess.run(unpack, stdin=files.stdout, check=True)
    if files.returncode:
        raise subprocess.CalledProcessError(files.returncode, files.args)


def _apt_get(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "-qq", *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)


def _mirror() -> str:
    """Returns the archive that this machine's apt uses, or Debian's own."""
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    sites = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return next((site for site in sites if site.endswith("/debian")), _ARCHIVE)
