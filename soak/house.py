"""Runs all processes of a soak: starts, kills, freezes and stops them by the plan, and watches them."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from soak import choices, signing
from soak.accounts import SignIns
from soak.disturbances import Disturbance, Kind
from soak.plan import Options, workers
from soak.songs import ENGINE_SETTINGS
from tests.support.processes import ManagedProcess
from tests.support.processor.centre_model import write_centre_model
from tests.support.servers import KafkaServer, SeaweedServer
from tests.support.stack import Service

_STOP_TIMEOUT_S = 45.0
# Enough retries for a busy machine whose store is killed every 45 s.
RETRY_DELAYS_S = (2, 4, 8, 16)
# While nothing is killed they need outlast no outage. What never succeeds then ends 45 s sooner.
CALM_RETRY_DELAYS_S = (1, 2, 3, 4)
CALLBACK_RETRIES = 6
UPLOAD_RETENTION_S = 3600
MODELS = ("centre", choices.OTHER_MODEL)

SETTINGS = {
    "CALLBACK_RETRIES": str(CALLBACK_RETRIES),
    "CALLBACK_TIMEOUT_S": "2",
    "KAFKA_SESSION_TIMEOUT_MS": "6000",
    "KAFKA_TOPIC_PARTITIONS": "6",
    "KAFKA_PROCESSOR_MAX_POLL_INTERVAL_MS": "6000",
    "KAFKA_UPLOADER_MAX_POLL_INTERVAL_MS": "6000",
    "RESULT_CACHE_S": "86400",
    "UPLOAD_RETENTION_S": str(UPLOAD_RETENTION_S),
    "MODEL_NAME": MODELS[0],
    "MODELS": ",".join(MODELS),
    "WEBHOOK_SECRET": signing.SECRET,
    **ENGINE_SETTINGS,
}
STAND_IN_PROCESSOR = "tests.support.processor.stand_in_processor"


class _State(Enum):
    UP = auto()
    FROZEN = auto()
    STOPPING = auto()
    DOWN = auto()


@dataclass
class _Resident:
    """One process. `due_s` is when its present disturbance ends, by the monotonic clock."""

    name: str
    process: ManagedProcess
    kill: Callable[[], None]
    state: _State = _State.UP
    due_s: float = 0.0


@dataclass(frozen=True)
class Happened:
    """A disturbance that took place, from `at_s` to `until_s`, in seconds since the epoch."""

    target: str
    kind: Kind
    at_s: float
    until_s: float


class House:
    """All processes of a soak. Use it from one thread: a process is killed when its starting thread ends."""

    def __init__(
        self,
        directory: Path,
        options: Options,
        commands: dict[str, Sequence[str]],
        origins: str,
        forked: bool = False,
    ):
        """`commands` has the module and its arguments for `processor` and for `uploader`.

        `forked`: tests' fork server starts the services, which takes less CPU.
        """
        for name in ("kafka", "store"):
            (directory / name).mkdir(parents=True)
        self.kafka = KafkaServer(directory / "kafka")
        self.store = SeaweedServer(directory / "store", bucket="soak")
        for model in MODELS:
            write_centre_model(directory / "models", model)
        presets = directory / "presets.toml"
        presets.write_text(choices.PRESETS_TOML)
        self.sign_ins = SignIns(directory)
        delays_s = CALM_RETRY_DELAYS_S if options.calm else RETRY_DELAYS_S
        self.settings = {
            **SETTINGS,
            "RETRY_DELAYS_S": ",".join(map(str, delays_s)),
            **self.sign_ins.settings,
            **self.store.address.environment(),
            "STAGE": options.stage,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap,
            "MODEL_FILE_DIR": str(directory / "models"),
            "TRUSTED_URL_PREFIXES": origins,
            "PRESETS_FILE": str(presets),
        }
        chosen = {name: commands[name.partition("-")[0]] for name in workers(options)}
        self.services = {
            name: Service(
                module, directory / "services" / name, self.settings, tuple(arguments), forked=forked
            )
            for name, (module, *arguments) in {"api": ("api",), **chosen}.items()
        }
        self.stage = directory / "services" / "outputs"
        self.happened: list[Happened] = []
        self.incidents: list[str] = []
        self._residents = {n: _Resident(n, s.process, s.kill) for n, s in self.services.items()}
        self._residents["broker"] = _Resident("broker", self.kafka.process, self.kafka.kill)
        self._residents["store"] = _Resident("store", self.store.process, self.store.kill)

    def start(self) -> None:
        """Start all processes and wait until they are ready."""
        self.kafka.start()
        self.store.start()
        for service in self.services.values():
            service.start()
        self._wait_ready()

    def begin(self, disturbance: Disturbance) -> None:
        """Begin a disturbance, unless an earlier one of the same process goes on."""
        resident = self._residents[disturbance.target]
        if resident.state is not _State.UP or resident.process.returncode is not None:
            return
        match disturbance.kind:
            case Kind.KILL:
                resident.kill()
                resident.state = _State.DOWN
            case Kind.FREEZE:
                resident.process.freeze()
                resident.state = _State.FROZEN
            case Kind.STOP:
                resident.process.signal(signal.SIGTERM)
                resident.state = _State.STOPPING
        resident.due_s = time.monotonic() + disturbance.lasts_s
        now_s = time.time()
        self.happened.append(Happened(resident.name, disturbance.kind, now_s, now_s + disturbance.lasts_s))

    def tick(self) -> None:
        """End the disturbances that are over; note and restart processes that have ended by themselves."""
        for resident in self._residents.values():
            if resident.state is _State.UP:
                self._watch(resident)
            elif time.monotonic() >= resident.due_s:
                self._end(resident)

    @property
    def calm(self) -> bool:
        return all(r.state is _State.UP for r in self._residents.values())

    def recover(self) -> None:
        """End all disturbances at once, and wait until all processes are ready again."""
        for resident in self._residents.values():
            resident.due_s = time.monotonic()
        while not self.calm:
            self.tick()
            time.sleep(0.1)
        self._wait_ready()

    def dump_threads(self) -> None:
        """Make each stand-in processor write its threads' stacks to its output."""
        for service in self.services.values():
            if service.module in (STAND_IN_PROCESSOR, "soak.faults"):
                service.process.signal(signal.SIGUSR1)

    def stop_services(self) -> None:
        """Send SIGTERM to all services at once, and note those that end badly."""
        for service in self.services.values():
            service.process.signal(signal.SIGTERM)
        for name, service in self.services.items():
            code = service.stop()
            if code not in (0, -signal.SIGTERM):
                self.incidents.append(f"{name} ended with {code} at its stop: {_last_line(service.process)}")

    def kill_all(self) -> None:
        for resident in self._residents.values():
            with contextlib.suppress(AssertionError):  # not started yet
                resident.kill()

    def logs(self) -> Iterator[tuple[str, str]]:
        """Yield each service's name with each line of its log, from all its runs."""
        for name, service in self.services.items():
            for line in service.log().split("\n"):
                yield name, line

    def _watch(self, resident: _Resident) -> None:
        code = resident.process.returncode
        if code is None:
            return
        now_s = time.time()
        said = _last_line(resident.process)
        self.incidents.append(f"{resident.name} has ended by itself, with {code}: {said}")
        self.happened.append(Happened(resident.name, Kind.KILL, now_s, now_s))
        resident.process.start()

    def _end(self, resident: _Resident) -> None:
        match resident.state:
            case _State.FROZEN:
                resident.process.thaw()
            case _State.DOWN:
                resident.process.start()
            case _State.STOPPING:
                code = resident.process.returncode
                if code is None and time.monotonic() < resident.due_s + _STOP_TIMEOUT_S:
                    return
                if code is None:
                    resident.kill()
                # a process that is still starting cannot end in good order yet
                if code not in (0, -signal.SIGTERM):
                    said = _last_line(resident.process)
                    self.incidents.append(f"{resident.name} ended with {code} on SIGTERM: {said}")
                resident.process.start()
        resident.state = _State.UP

    def _wait_ready(self) -> None:
        for service in self.services.values():
            service.wait_ready()


def _last_line(process: ManagedProcess) -> str:
    return process.output().strip().split("\n")[-1] or "no output"
