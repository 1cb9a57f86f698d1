"""Runs services with a fault on purpose, which a soak must find: `python -m soak.faults NAME…`

Each fault leaves out one rule of the product.
"""

import faulthandler
import signal
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kafka import KafkaProducer

from common.jobs.handler import Job, JobContext
from common.jobs.outcome import Done, Outcome
from common.settings.loading import load
from common.settings.schema import ProcessorSettings
from common.storage.bucket_stage import BucketStage
from common.storage.stage import LocalStage
from common.tasks.messages import Task
from processor import assembly
from processor import run as processor
from processor.handler import ProcessorHandler
from tests.support.processor.stand_in_processor import StandInEngine
from uploader import run as uploader
from uploader.storage import Storage

# 2 s between a publish and its commit: long enough for a kill every few seconds to hit.
_WINDOW_S = 2.0


class Forgetful(ProcessorHandler):
    """Commits one task in five without publishing its result."""

    def run(self, job: Job[Task], context: JobContext) -> Outcome:
        outcome = super().run(job, context)
        if isinstance(outcome, Done) and _is_one_in_five(job, 0):
            return replace(outcome, messages=())
        return outcome


class PublishesTwice(ProcessorHandler):
    """Publishes one result in five twice."""

    def run(self, job: Job[Task], context: JobContext) -> Outcome:
        outcome = super().run(job, context)
        if isinstance(outcome, Done) and _is_one_in_five(job, 1):
            return replace(outcome, messages=outcome.messages * 2)
        return outcome


class PublishesFirst(ProcessorHandler):
    """Publishes at once and commits later, as most consumers do. Only kills make the fault visible."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        servers = load(ProcessorSettings).kafka_bootstrap_servers
        self._producer = KafkaProducer(bootstrap_servers=servers, acks="all")

    def run(self, job: Job[Task], context: JobContext) -> Outcome:
        outcome = super().run(job, context)
        if not isinstance(outcome, Done):
            return outcome
        for message in outcome.messages:
            self._producer.send(message.topic, key=message.key, value=message.value).get(timeout=30)
        context.wait(_WINDOW_S)
        return Done()


class WithoutManifest(Storage):
    """Builds each callback again, with the time of the try in it."""

    def get_manifest(self, key: str) -> bytes | None:
        return None

    def put_manifest(self, key: str, body: bytes, about: Mapping[str, str] | None = None) -> bytes:
        return body


class Untidy(LocalStage):
    """Leaves the staged stems where they are."""

    def retire(self, key: str) -> None:
        pass


class UntidyBucket(BucketStage):
    """The same with STAGE=s3."""

    def retire(self, key: str) -> None:
        pass


PROCESSORS = {"forget": Forgetful, "publish-twice": PublishesTwice, "publish-first": PublishesFirst}
UPLOADERS = {"no-manifest": (WithoutManifest,), "untidy": (Untidy, UntidyBucket)}
NAMES = (*PROCESSORS, *UPLOADERS)


def _is_one_in_five(job: Job[Task], remainder: int) -> bool:
    return zlib.crc32(job.content.task_uuid.bytes) % 5 == remainder


def main(names: Sequence[str]) -> int:
    """Run the processor or the uploader, the one of the first fault, with all faults in `names`."""
    if names[0] in PROCESSORS:
        assembly.ProcessorHandler = type("Faulty", tuple(PROCESSORS[name] for name in names), {})
        return processor.main(StandInEngine)
    for faulty in [kind for name in names for kind in UPLOADERS[name]]:
        setattr(uploader, faulty.__base__.__name__, faulty)
    return uploader.main()


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)
    sys.exit(main(sys.argv[1:]))
