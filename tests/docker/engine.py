"""Runs a real Docker engine for the tests, from Debian's packages, in namespaces of its own.

The engine's mounts, processes, networks and firewall rules are in namespaces that end with the engine. So
nothing is left on the machine, and published ports cannot collide with others. Tests reach those ports with
`Engine.network()`.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from tests.docker.proxy import proxy
from tests.support.accept_loop import AcceptLoop
from tests.support.processes import ManagedProcess
from tests.support.waiting import wait_for

_START_TIMEOUT_S = 60
_CLONE_NEWNET = 0x40000000
# When unshare ends, process 1 of the new namespaces ends, and with it every other process in them.
_NAMESPACES = (
    *("unshare", "--mount", "--net", "--pid", "--propagation", "private"),
    *("--fork", "--kill-child"),
)
# Left out of the images: the engine's programs, and caches.
_NOT_IN_IMAGES = (
    "/usr/sbin/dockerd",
    "/usr/bin/docker",
    "/usr/bin/docker-proxy",
    "/usr/bin/containerd*",
    "/usr/sbin/runc",
    "/usr/libexec/docker",
    "/var/cache",
    "/var/lib/apt/lists",
)
_libc = ctypes.CDLL(None, use_errno=True)


class Engine:
    """A Docker engine, which needs root. `directories` have the same paths inside the engine as outside."""

    def __init__(self, root: Path, directories: Sequence[Path]):
        self.root = root
        # A short path: a socket's path may have 107 bytes, and containerd nests its own deeply.
        self.work = Path(tempfile.mkdtemp(prefix="uvr-docker-", dir="/var/tmp"))
        self.models = self.work / "models"
        self._directories = [self.work, *directories]
        self._group = f"uvr-tests-{os.getpid()}"
        self._unshare = ManagedProcess([*_NAMESPACES, "/bin/bash", str(self.work / "start.sh")], self.log)
        self._init = 0
        self.proxy: AcceptLoop | None = None

    @property
    def log(self) -> Path:
        return self.work / "dockerd.log"

    def start(self) -> None:
        """Starts the engine and waits until it answers. Raises AssertionError."""
        (self.work / "start.sh").write_text(self._script())
        self._unshare.start()
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        self._init = int(wait_for(children.read_text, 10, "the engine's first process").split()[0])
        wait_for(self._answers, _START_TIMEOUT_S, f"answer of the engine; see {self.log}")
        with self.network():
            self.proxy = proxy()
        self.proxy.start()

    def _script(self) -> str:
        """Returns the script for process 1 of the new namespaces: change the root, then become dockerd."""
        root = self.root
        binds = "\n".join(
            f"mkdir -p '{root}{directory}'; mount --rbind '{directory}' '{root}{directory}'"
            for directory in self._directories
        )
        return f"""set -eu
mount --bind '{root}' '{root}'
mount -t proc proc '{root}/proc'
mount -t sysfs sysfs '{root}/sys'
mount --rbind /sys/fs/cgroup '{root}/sys/fs/cgroup'
mount --rbind /dev '{root}/dev'
mount -t tmpfs tmpfs '{root}/run'
mount -t tmpfs tmpfs '{root}/tmp'
{binds}
mkdir -p '{root}/oldroot'
cd '{root}'
pivot_root . oldroot
cd /
umount -l /oldroot
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
ip link set lo up
cd '{self.work}'
exec dockerd --data-root "$PWD/data" --exec-root "$PWD/exec" --pidfile "$PWD/dockerd.pid" \\
  --cgroup-parent '{self._group}' -H 'unix://{self.work}/docker.sock'
"""

    def _answers(self) -> bool:
        assert self._unshare.returncode is None, f"the engine ended: {self.log.read_text()[-3000:]}"
        return (self.work / "docker.sock").exists() and self.run(
            "docker", "info", check=False
        ).returncode == 0

    def run(
        self,
        *command: str,
        check: bool = True,
        cwd: Path | None = None,
        timeout_s: float = 300,
        stdin: IO[bytes] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in the engine's root. Raises AssertionError with the output when it fails."""
        env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.work),
            "DOCKER_HOST": f"unix://{self.work}/docker.sock",
        }
        inside = ["nsenter", "-t", str(self._init), "--mount", "--net", "--pid", "--root"]
        done = subprocess.run(
            [*inside, f"--wdns={cwd or self.work}", *command],
            env=env,
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        output, errors = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert not check or done.returncode == 0, (
            f"{command} ended with {done.returncode}:\n{output}\n{errors}"
        )
        return subprocess.CompletedProcess(command, done.returncode, output, errors)

    def import_image(self, tag: str, layer: Path, *changes: str, trees: Sequence[str] = ()) -> None:
        """Makes an image of one layer: the Debian root without Docker, and what is below `layer`.

        `trees` are further arguments of tar. `changes` are lines of a Dockerfile. Raises AssertionError.
        """
        left_out = [f".{directory}" for directory in (*_NOT_IN_IMAGES, *self._directories)]
        hollow = [f"./{name}/*" for name in ("proc", "sys", "dev", "run", "tmp", "oldroot")]
        excluded = [f"--exclude={path}" for path in (*left_out, *hollow)]
        # Docker takes no directory twice, and makes those that are not named.
        names = [path for path in layer.rglob("*") if not path.is_dir() or not any(path.iterdir())]
        (self.work / "names").write_text("".join(f"{path.relative_to(layer)}\n" for path in names))
        ours = ["-C", str(layer), f"--files-from={self.work / 'names'}", *trees]
        archive = ["tar", *excluded, "-cf", "-", "-C", str(self.root), ".", *ours]
        with subprocess.Popen(archive, stdout=subprocess.PIPE) as files:
            options = [f"--change={line}" for line in changes]
            self.run("docker", "import", *options, "-", tag, stdin=files.stdout)
        assert files.returncode == 0, f"tar ended with {files.returncode}"

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Moves this thread, and the threads that it starts, into the engine's network."""
        with Path(f"/proc/self/task/{threading.get_native_id()}/ns/net").open() as ours:
            with Path(f"/proc/{self._init}/ns/net").open() as theirs:
                _enter(theirs.fileno())
            try:
                yield
            finally:
                _enter(ours.fileno())

    def stop(self) -> None:
        """Ends the engine and its containers, and removes their files. Also works if the engine never ran."""
        if self.proxy:
            self.proxy.close()
        self._unshare.kill()
        if self._init:
            wait_for(lambda: not Path(f"/proc/{self._init}").exists(), 60, "end of the engine")
        for pattern in (self._group, f"*/{self._group}"):
            for directory in Path("/sys/fs/cgroup").glob(pattern):
                _remove_group(directory)
        for directory in self._directories:  # the mounts are gone, but their empty directories remain
            with contextlib.suppress(OSError):
                Path(f"{self.root}{directory}").rmdir()
        shutil.rmtree(self.work)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _remove_group(directory: Path) -> None:
    """Removes the control groups, the inner ones first. Their processes must have ended."""
    for path, _, _ in os.walk(directory, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(path)
