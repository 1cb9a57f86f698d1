"""Makes messages and letters for tests of the dead letters, and runs their command as a process."""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from common.deadletter.dead_letter import LetterId
from common.deadletter.marks import ReplayMark
from common.jobs import dead_letters, retry
from common.kafka.records import Message, Record
from common.tasks.messages import Redelivery, Separated, SeparationFailed, StagedStem, Task
from tests.support.forked_command import run_forked
from tests.support.paths import REPOSITORY

TASKS, RESULTS, DEAD = "uvr_tasks", "uvr_results", "uvr_dead_letters"
# 2027-01-15T08:00:00Z
NOW_S = 1_800_000_000.0
ONE, OTHER = UUID(int=1), UUID(int=2)
HOOK = "https://example.com/hook"


def task(uuid: UUID = ONE, run: int = 1) -> Task:
    return Task(task_uuid=uuid, audio="https://example.com/a.mp3", hook_url=HOOK, submitted_at=1.0, run=run)


def separated(uuid: UUID = ONE, run: int = 1) -> Separated:
    stem = StagedStem(key="k/vocals.wav", sha256="0" * 64, bytes=1, duration_s=1)
    return Separated(
        task_uuid=uuid, hook_url=HOOK, run=run, submitted_at=1, finished_at=2, stems={"vocals": stem},
        model="m", device="cpu",
    )  # fmt: skip


def failed(uuid: UUID = ONE, run: int = 1) -> SeparationFailed:
    return SeparationFailed(
        task_uuid=uuid,
        hook_url=HOOK,
        run=run,
        submitted_at=1,
        finished_at=2,
        error_code="x",
        error_message="y",
    )


def redelivery(uuid: UUID = ONE, run: int = 1) -> Redelivery:
    return Redelivery(task_uuid=uuid, hook_url=HOOK, run=run, requested_at=3)


def letter(
    value: bytes,
    origin_topic: str = TASKS,
    dead_letter_topic: str = DEAD,
    code: str = "http_error",
    reason: str = "why",
    key: bytes | None = b"k",
    headers: Iterable[tuple[str, bytes]] = (),
) -> Message:
    """Returns the letter that a worker writes for a record of `origin_topic`, partition 5, offset 9."""
    dead = Record(origin_topic, 5, 9, key, value, tuple(headers))
    return dead_letters.letter(dead_letter_topic, dead, code, reason, 1, retry.history(dead))


def letter_record(value: bytes, offset: int = 0, topic: str = TASKS, **fields: Any) -> Record:
    """Returns such a letter as a record, written a second after the letter before."""
    return at(offset, letter(value, topic, **fields))


def at(offset: int, message: Message) -> Record:
    written_ms = int(NOW_S + offset) * 1000
    return Record(DEAD, 3, offset, message.key, message.value, message.headers, written_ms)


def mark(letter_offset: int, run: int, offset: int, uuid: UUID = ONE) -> Record:
    return at(offset, ReplayMark(LetterId(3, letter_offset), uuid, run).message(DEAD, b"k"))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "common.deadletter", *arguments]


def environ(settings: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment of a process with these settings and none of the machine's."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **settings}


def run_command(settings: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m common.deadletter …` with these settings, to its end."""
    return run_forked("common.deadletter", *arguments, environment=environ(settings))
