"""A processor's handler with a real host, a stand-in engine and a real stage."""

from pathlib import Path
from uuid import uuid4

from common.kafka.records import Record
from common.outbound.addresses import AddressPolicy, parse_origin
from common.outbound.guarded_session import OutboundNetwork
from common.storage.stage import LocalStage
from common.tasks.cancels import Cancels
from common.tasks.messages import Task
from common.tasks.messages.choices import Format
from processor.audio.prepare import AudioLimits
from processor.audio.transfer import DownloadLimits
from processor.cache import ResultCache
from processor.engine.protocol import Computed, Separation, StemFile
from processor.handler import ProcessorConfig, ProcessorHandler
from processor.metrics import ProcessorMetrics
from tests.support import audio
from tests.support.common.worker.fakes import statuses
from tests.support.http_server import ScriptedServer, serve

TASK_UUID = uuid4()
STEMS = ("vocals", "instrumental")


IN_BFLOAT16 = Computed("openvino", "bf16")


class FakeEngine:
    """Writes both stems, then does what it is told to. `computed` is how it says that it computed them."""

    def __init__(self, then=lambda: None, computed: Computed = IN_BFLOAT16):
        self._then, self._computed = then, computed
        self.sources: list[Path] = []

    def separate(self, source, target_dir, check, on_progress) -> Separation:
        self.sources.append(source)
        stems = {}
        for name in STEMS:
            path = target_dir / f"{name}.wav"
            path.write_bytes(name.encode())
            stems[name] = StemFile(path, 44100, 1.0)
        self._then()
        return Separation(stems, 0.5, "centre", "cpu", 0.1, self._computed)


class ProcessorHarness:
    def __init__(self, directory: Path, server: ScriptedServer):
        self.directory, self.server = directory, server
        self.temp_dir = directory / "temp"
        self.stage = LocalStage(directory / "stage")
        song = audio.write(directory / "song.wav", audio.noise(0.2))
        self.network = OutboundNetwork(
            AddressPolicy(frozenset({80}), frozenset({parse_origin(server.origin)}))
        )
        self.song = song.read_bytes()
        server.on("/song.wav", serve(self.song, content_type="audio/wav"))
        song.unlink()

    def handler(
        self,
        engine: FakeEngine | None = None,
        stage: LocalStage | None = None,
        metrics: ProcessorMetrics | None = None,
        cancels: Cancels | None = None,
        format: Format = "wav",
        cache: ResultCache | None = None,
    ) -> ProcessorHandler:
        config = ProcessorConfig(
            "results", self.temp_dir, 3, DownloadLimits(10_000_000, 30), AudioLimits(60, 8), format
        )
        return ProcessorHandler(
            config,
            self.network,
            engine or FakeEngine(),
            stage or self.stage,
            statuses(),
            lambda: 99.0,
            metrics,
            cancels,
            cache=cache,
        )

    def record(
        self,
        path: str = "/song.wav",
        offset: int = 5,
        key: bytes | None = b"other",
        cancel_at: float | None = None,
    ) -> Record:
        task = Task(
            task_uuid=TASK_UUID,
            audio=self.server.url + path,
            hook_url="http://hook.example/",
            submitted_at=1.0,
            cancel_at=cancel_at,
        )
        return Record("tasks", 0, offset, key, task.to_bytes())

    def staged(self) -> list[str]:
        return sorted(str(p.relative_to(self.stage.root)) for p in self.stage.root.rglob("*") if p.is_file())

    def left_over(self, offset: int, attempt: int) -> str:
        """Leave a partial stem in the stage, as a killed attempt does; return its path."""
        path = self.stage.root / str(TASK_UUID) / f"tasks-0-{offset}.{attempt}" / "vocals.wav.part"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"half")
        return str(path.relative_to(self.stage.root))

    def assert_no_temporary_files(self) -> None:
        assert [p for p in self.temp_dir.rglob("*")] == []
