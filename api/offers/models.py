"""The models of the answers about what the processors can do, with their examples."""

from typing import Self
from uuid import UUID

from pydantic import BaseModel, Field

from common.tasks.messages import State, Status, WorkerSeen
from common.tasks.messages.worker import PresetStep

_SPEED = "seconds of audio for each second of work; absent until it was measured"


class OnDevice(BaseModel):
    """A device on which processors have the model or preset."""

    device: str
    workers: int = Field(description="how many processors with this device have it")
    speed: float | None = Field(default=None, description=f"the fastest there: {_SPEED}")


class OfferedModel(BaseModel):
    """A model that at least one processor has installed."""

    name: str
    architecture: str
    stems: list[str]
    license: str | None = None
    scores: dict[str, float] = Field(
        default={}, description="the median SDR of each stem in dB, where the library knows it"
    )
    is_default: bool = Field(description="whether a processor uses it for tasks that choose no model")
    speed: float | None = Field(default=None, description=f"the fastest: {_SPEED}")
    devices: list[OnDevice]
    workers: int = Field(description="how many processors have it installed")
    warm_on: int = Field(description="how many processors have it loaded now, and begin without loading it")


class OfferedPreset(BaseModel):
    """A preset whose models at least one processor has installed."""

    name: str
    description: str
    stems: list[str]
    steps: list[PresetStep]
    speed: float | None = Field(default=None, description=f"the fastest: {_SPEED}")
    devices: list[OnDevice]
    workers: int = Field(description="how many processors have all its models installed")


class WorkersTask(BaseModel):
    """A task that a processor works on."""

    task_uuid: UUID
    state: State
    progress: float | None = Field(default=None, description="0 to 1, of the whole run")
    name: str | None = Field(default=None, description="its label, its file's name, or its song's address")
    user: str
    since: float = Field(description="when it entered its state, in seconds since the epoch")

    @classmethod
    def of(cls, status: Status) -> Self:
        return cls(
            task_uuid=status.task_uuid,
            state=status.state,
            progress=status.progress,
            name=status.label or status.file_name or status.audio,
            user=status.user,
            since=status.times.get(status.state, status.at),
        )


class Worker(BaseModel):
    """A processor that has announced itself within the last 3 minutes."""

    worker_id: str
    at: float = Field(description="when it announced itself last, in seconds since the epoch")
    version: str
    device: str
    slots: int = Field(description="how many tasks it works on at once")
    running: int
    default_model: str
    models: list[str]
    warm_models: list[str]
    presets: list[str]
    tasks: list[WorkersTask] | None = Field(
        default=None, description="only for users in `ADMIN_USERNAMES`: what it works on now"
    )

    @classmethod
    def of(cls, seen: WorkerSeen, tasks: list[WorkersTask] | None = None) -> Self:
        return cls(
            worker_id=seen.worker_id,
            at=seen.at,
            version=seen.version,
            device=seen.device,
            slots=seen.slots,
            running=seen.running,
            default_model=seen.default_model,
            models=sorted(model.name for model in seen.models),
            warm_models=sorted(model.name for model in seen.models if model.is_warm),
            presets=sorted(preset.name for preset in seen.presets),
            tasks=tasks,
        )


class Models(BaseModel):
    """All models, by name."""

    models: list[OfferedModel]


class Presets(BaseModel):
    """All presets, by name."""

    presets: list[OfferedPreset]


class Workers(BaseModel):
    """All processors, by `worker_id`."""

    workers: list[Worker]


_PRESET = "best"
_MODEL = "model_bs_roformer_ep_317_sdr_12.9755"
_ON_GPU = OnDevice(device="cuda NVIDIA H100", workers=1, speed=61.5)
EXAMPLE_MODELS = Models(
    models=[
        OfferedModel(
            name="UVR-MDX-NET-Inst_HQ_4",
            architecture="MDX",
            stems=["vocals", "instrumental"],
            license="MIT",
            scores={"vocals": 8.83, "instrumental": 15.51},
            is_default=True,
            speed=240.0,
            devices=[
                OnDevice(device="cpu", workers=1, speed=35.0),
                _ON_GPU.model_copy(update={"speed": 240.0}),
            ],
            workers=2,
            warm_on=1,
        )
    ]
)
EXAMPLE_PRESETS = Presets(
    presets=[
        OfferedPreset(
            name=_PRESET,
            description="The vocals and the instrumental, as good as one model makes them",
            stems=["vocals", "instrumental"],
            steps=[PresetStep(models=(_MODEL,), stems=("vocals", "instrumental"))],
            speed=61.5,
            devices=[_ON_GPU],
            workers=1,
        )
    ]
)
EXAMPLE_WORKERS = Workers(
    workers=[
        Worker(
            worker_id="gpu-1",
            at=1750000000.0,
            version="1.1.0",
            device="cuda NVIDIA H100",
            slots=2,
            running=1,
            default_model="UVR-MDX-NET-Inst_HQ_4",
            models=["UVR-MDX-NET-Inst_HQ_4", _MODEL],
            warm_models=["UVR-MDX-NET-Inst_HQ_4"],
            presets=[_PRESET],
            tasks=[
                WorkersTask(
                    task_uuid=UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7"),
                    state=State.SEPARATING,
                    progress=0.55,
                    name="Artist - Title",
                    user="alice",
                    since=1749999990.0,
                )
            ],
        )
    ]
)
