"""Waits for what follows the jobs, and sweeps as uploaders do later."""

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from common.settings.schema import UploaderSettings
from common.storage.bucket import Bucket
from common.storage.bucket_keys import ALL_UPLOADS
from common.storage.bucket_stage import open_bucket_stage
from common.storage.stage import LocalStage
from common.storage.uploads import Uploads
from processor.audio.partial_file import PartialDownloads
from soak import evidence
from soak.disturbances import Kind
from soak.doubles import AFTERMATH_S
from soak.evidence import Attempt
from soak.house import UPLOAD_RETENTION_S, Happened, House
from soak.plan import Plan
from uploader.songs import SongKeeper
from uploader.sweep import RETIRED_FOR_S

_LOOK_EVERY_S = 2.0
_TIDY_TIMEOUT_S = 20.0
_HOUR_S = 3600.0
# What makes the marks of uploads, and what removes them.
_MARKERS = ("uploader", "store", "api")


@dataclass(frozen=True)
class Life:
    """The time from a task's submission to its last callback, in seconds since the epoch."""

    from_s: float
    until_s: float

    def meets(self, happened: Happened) -> bool:
        return happened.at_s <= self.until_s and happened.until_s + AFTERMATH_S >= self.from_s


def await_tidiness(house: House, left_in_bucket: Callable[[], Iterable[str]]) -> None:
    """Wait a while for work that follows a job's transaction; files that are left then were forgotten."""
    deadline_s = time.monotonic() + _TIDY_TIMEOUT_S
    while time.monotonic() < deadline_s:
        in_bucket = [key for key in left_in_bucket() if not key.startswith(ALL_UPLOADS)]
        if not (in_bucket or evidence.files_below(house.stage) or evidence.temporary_files(house)):
            return
        time.sleep(_LOOK_EVERY_S)


def sweep_stage(plan: Plan, house: House) -> list[str]:
    """Sweep the stage as uploaders do later; return a line where more was left than kills explain.

    With STAGE=path an uploader that is killed right after its transaction leaves a retired attempt: one per
    kill at most. Other uploaders sweep it minutes later. With STAGE=s3 a worker removes an attempt when the
    store is back, unless it is killed while the store is away.
    """
    now_s = time.time()
    if plan.options.stage == "path":
        explained = _kills_of(house, "uploader")
        swept = LocalStage(house.stage).sweep(now_s + RETIRED_FOR_S, RETIRED_FOR_S, math.inf)
    else:
        explained = _kills_of(house, "store")
        values = {name.lower(): value for name, value in house.store.address.environment().items()}
        swept = open_bucket_stage(UploaderSettings(**values), connections=1).sweep(now_s + 1, 0, 0)
    return [f"{swept} attempts after {explained} kills"] if swept > explained else []


def sweep_uploads(house: House, lives: Mapping[str, Life], repeated_forms: int) -> list[str]:
    """Sweep the uploads as uploaders do when they have expired.

    Return a line where more of them were still marked as used than kills and repeated forms explain.
    """
    address = house.store.address
    bucket = Bucket(address.client(), address.bucket)
    marked = [
        found.key.rpartition("/tasks/")[2] for found in bucket.objects(ALL_UPLOADS) if "/tasks/" in found.key
    ]
    # A mark that goes makes its upload expire later, therefore the second sweep.
    moments_s = itertools.count(time.time() + UPLOAD_RETENTION_S + _HOUR_S, UPLOAD_RETENTION_S + _HOUR_S)
    for now_s in itertools.islice(moments_s, 2):
        SongKeeper(Uploads(bucket, ""), UPLOAD_RETENTION_S, math.inf, lambda now_s=now_s: now_s).sweep()
    return unexplained_marks(marked, lives, house.happened, repeated_forms)


def unexplained_marks(
    marked: Sequence[str], lives: Mapping[str, Life], happened: Iterable[Happened], repeated_forms: int
) -> list[str]:
    """Return a line if there are more marks than kills and repeated forms explain. `marked` are their tasks.

    An uploader removes the mark of a run that is over, unless it is killed just then or the store is away. An
    api that is killed after a mark and before its task leaves one too, whose task never was. So only a kill
    in the life of a marked task counts, and for one that never was each kill of the api.

    A form that is sent again, since Kafka did not confirm the first one in time, is an upload with a mark of
    its own: if both became known to Kafka, the task has the first one's song.
    """
    known = [lives[task_uuid] for task_uuid in marked if task_uuid in lives]
    is_any_unknown = len(known) < len(marked)
    kills = sum(
        h.kind is Kind.KILL
        and h.target.startswith(_MARKERS)
        and (any(life.meets(h) for life in known) or (is_any_unknown and h.target == "api"))
        for h in happened
    )
    if len(marked) <= kills + repeated_forms:
        return []
    return [
        f"{len(marked)} marks of uploads after {kills} kills and {repeated_forms} repeated forms: {marked}"
    ]


def sweep_downloads(house: House, attempts: Sequence[Attempt]) -> list[str]:
    """Sweep partial downloads as processors do when they are old; return a line for each without a reason.

    A processor keeps a download that broke off for the run's next attempt. Here each processor has a disk of
    its own, so it keeps those whose next attempts were made elsewhere.
    """
    # They are in the order of their times.
    last_worker = {attempt.task_uuid: attempt.worker for attempt in attempts}
    unexplained = []
    for name, service in house.services.items():
        root = service.directory / "temp" / "uvr-downloads"
        for path in root.glob("*.part"):
            if last_worker.get(path.name.partition(".")[0], name) == name:
                unexplained.append(f"{name}: {path.name}, though its task has ended there")
        PartialDownloads(root, 0, time.time).sweep()
    return unexplained


def _kills_of(house: House, kind: str) -> int:
    return sum(h.kind is Kind.KILL and h.target.startswith(kind) for h in house.happened)
