"""Holds what all parts of the bench share: sizes, directories, a model directory, servers."""

import contextlib
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench import library
from bench.report import Profile, Row
from bench.separating import Kind, Separating, separating
from processor.models import model_files
from processor.separation.device import Device
from tests.support.servers import KafkaServer, S3Store, SeaweedServer, given_store

MODEL = model_files.SPLEETER


@dataclass(frozen=True)
class Sizes:
    """The sizes of each part's measurements. Songs are given by their length in seconds."""

    repeats: int
    engine_songs_s: tuple[float, ...]
    memory_s: tuple[float, ...]
    library_memory_s: tuple[float, ...]
    architecture_memory_s: tuple[float, ...]
    is_quick: bool
    # the length of a song in seconds, and how many songs the service gets at once
    service_songs: dict[float, int]
    transfer_bytes: int
    upload_bytes: tuple[int, ...]
    processors: tuple[int, ...]
    jobs_per_processor: int
    engine_sleep_s: float
    heavy_song_s: float
    choices_songs: int
    # a short and a long song for an ensemble, in seconds
    ensemble_s: tuple[float, float]
    view_tasks: int
    streams: int
    submissions: int
    submissions_in_turn: int
    idle_s: float
    outage_s: float
    poll_interval_ms: int
    console_tasks: int
    console_song_s: float
    console_play_s: float


FULL = Sizes(
    repeats=3,
    engine_songs_s=(600,),
    memory_s=(180, 600, 3600),
    library_memory_s=(180, 600),
    architecture_memory_s=(600, 3600),
    is_quick=False,
    service_songs={240: 3, 30: 8},
    transfer_bytes=512 << 20,
    upload_bytes=(42 << 20, 256 << 20),
    processors=(1, 2, 4, 8),
    jobs_per_processor=8,
    engine_sleep_s=5.0,
    heavy_song_s=60,
    choices_songs=40,
    ensemble_s=(600, 3600),
    view_tasks=1_000_000,
    streams=1000,
    submissions=1000,
    submissions_in_turn=1500,
    idle_s=60,
    outage_s=60,
    poll_interval_ms=50000,
    console_tasks=10_000,
    console_song_s=3600,
    console_play_s=600,
)
QUICK = Sizes(
    repeats=1,
    engine_songs_s=(60,),
    memory_s=(60, 120),
    library_memory_s=(60,),
    architecture_memory_s=(10, 60),
    is_quick=True,
    service_songs={30: 3},
    transfer_bytes=64 << 20,
    upload_bytes=(42 << 20,),
    processors=(1, 2),
    jobs_per_processor=4,
    engine_sleep_s=2.0,
    heavy_song_s=12,
    choices_songs=6,
    ensemble_s=(10, 60),
    view_tasks=20_000,
    streams=50,
    submissions=200,
    submissions_in_turn=200,
    idle_s=5,
    outage_s=10,
    poll_interval_ms=2000,
    console_tasks=2000,
    console_song_s=120,
    console_play_s=20,
)


@dataclass
class Bench:
    """One run of the bench. `directory` is temporary; the plots go to `results`."""

    sizes: Sizes
    directory: Path
    results: Path
    shuffle: random.Random
    device: Device
    # the keys of ARCHITECTURES to measure at their real size, and where their networks are kept
    architectures: tuple[str, ...] = ()
    real_model_dir: Path | None = None
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Add a row and print it at once, because a whole run takes long."""
        self.rows.append(row)
        target = f" (target {row.target}: {row.verdict})" if row.target else ""
        print(f"  {row.part}: {row.what}: {row.figure:.3g}{target}", flush=True)

    def note(self, text: str) -> None:
        self.notes.append(text)
        print(f"  {text}", flush=True)

    def note_computed(self, part: str, model: str, computed: str) -> None:
        """Note, once, by which runtime and in which precision our side computes a model in a part."""
        text = f"{part}: the engine computes {model} by {computed}"
        if text not in self.notes:
            self.note(text)

    def fail(self, text: str) -> None:
        self.failures.append(text)
        self.note(text)

    @property
    def model_dir(self) -> Path:
        """The directory with MODEL and the lists that the library needs."""
        directory = self.directory / "models"
        if not directory.exists():
            model_files.ensure(MODEL, directory, fetch=False)
            library.list_model(directory, MODEL)
        return directory

    @property
    def library_environment(self) -> dict[str, str]:
        return library.environment(self.directory, self.device)

    def separating(
        self, kind: Kind, model: str = MODEL, model_dir: Path | None = None
    ) -> AbstractContextManager[Separating]:
        """Start a process with the model loaded on the bench's device."""
        return separating(kind, model_dir or self.model_dir, model, self.library_environment, self.device)

    def scratch(self, name: str) -> Path:
        """Create an empty directory."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.directory))


@contextlib.contextmanager
def kafka(bench: Bench) -> Iterator[str]:
    """Yield the address of a broker: TEST_KAFKA_BOOTSTRAP, or a new broker's."""
    if given := os.environ.get("TEST_KAFKA_BOOTSTRAP"):
        yield given
        return
    server = KafkaServer(bench.scratch("kafka"))
    try:
        server.start()
        yield server.bootstrap
    finally:
        server.kill()


@contextlib.contextmanager
def store(bench: Bench) -> Iterator[S3Store]:
    """Yield a store: the one at TEST_S3_ENDPOINT_URL, or a new one."""
    if given := os.environ.get("TEST_S3_ENDPOINT_URL"):
        yield given_store(given)
        return
    server = SeaweedServer(bench.scratch("store"))
    try:
        server.start()
        yield server.address
    finally:
        server.kill()
