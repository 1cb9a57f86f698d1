"""Runs services with a fault on purpose, which a soak must find: `python -m soak.faults NAME…`

Each fault leaves out one rule of the product.
"""

import faulthandler
import os
import signal
import sys
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
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
from uploader import handler
from uploader import run as uploader
from uploader.callback_sender import CallbackSender, CallbackTry
from uploader.storage import Storage

# 2 s between a publish and its commit: long enough for a kill every few seconds to hit.
_WINDOW_S = float(os.environ.get("FAULT_WINDOW_S", "2"))


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

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        servers = load(ProcessorSettings).kafka_bootstrap_servers
        self._producer = KafkaProducer(bootstrap_servers=servers, acks="all")

    def run(self, job: Job[Task], context: JobContext) -> Outcome:
        outcome = super().run(job, context)
        if not isinstance(outcome, Done):
            return outcome
        for message in outcome.messages:
            self._producer.send(message.topic, key=message.key, value=message.value).get(timeout=30)
        context.wait(_WINDOW_S)
        return replace(outcome, messages=())


class WithoutManifest(Storage):
    """Builds each callback again, with the time of the try in it."""

    def get_manifest(self, key: str) -> bytes | None:
        return None

    def put_manifest(self, key: str, body: bytes, about: Mapping[str, str] | None = None) -> bytes:
        return body


class CallsTwice(CallbackSender):
    """Posts each callback that its receiver takes once more."""

    def post(self, *arguments: Any, **named: Any) -> CallbackTry:
        made = super().post(*arguments, **named)
        return made if made.error else super().post(*arguments, **named)


class Untidy(LocalStage):
    """Leaves the staged stems where they are."""

    def retire(self, key: str) -> None:
        pass


class UntidyBucket(BucketStage):
    """The same with STAGE=s3."""

    def retire(self, key: str) -> None:
        pass


@dataclass(frozen=True)
class Replacement:
    """A class with a fault, which replaces the class that it is made of in `module`."""

    module: ModuleType
    faulty: type

    def put_in(self) -> None:
        name = self.faulty.__mro__[1].__name__
        if not hasattr(self.module, name):
            raise AttributeError(
                f"{self.module.__name__} has no {name} for {self.faulty.__name__} to replace"
            )
        setattr(self.module, name, self.faulty)


# What is published at once cannot be left out or doubled later, so `publish-first` goes around the others.
PROCESSORS = {"publish-first": PublishesFirst, "forget": Forgetful, "publish-twice": PublishesTwice}
UPLOADERS = {
    "no-manifest": (Replacement(uploader, WithoutManifest),),
    "calls-twice": (Replacement(handler, CallsTwice),),
    "untidy": (Replacement(uploader, Untidy), Replacement(uploader, UntidyBucket)),
}
NAMES = (*PROCESSORS, *UPLOADERS)


def why_impossible(names: Sequence[str], real_engine: bool) -> str | None:
    """Return why these faults cannot be put in, and what to do; None if they can."""
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        return f"--fault={repeated[0]} is given twice: give it once"
    if real_engine and (chosen := [name for name in names if name in PROCESSORS]):
        return (
            f"--fault={chosen[0]} is a fault of processors with the stand-in engine: leave out --real-engine"
        )
    return None


def put_in_processor(names: Collection[str]) -> None:
    """Replace the processor's handler by one with all these faults."""
    chosen = tuple(faulty for name, faulty in PROCESSORS.items() if name in names)
    assembly.ProcessorHandler = type("Faulty", chosen, {})


def put_in_uploader(names: Collection[str]) -> None:
    """Replace the parts of the uploader that have these faults."""
    for name in names:
        for replacement in UPLOADERS[name]:
            replacement.put_in()


def main(names: Sequence[str]) -> int:
    """Run the processor or the uploader, the one of the first fault, with all faults in `names`."""
    if names[0] in PROCESSORS:
        put_in_processor(names)
        return processor.main(StandInEngine)
    put_in_uploader(names)
    return uploader.main()


def _is_one_in_five(job: Job[Task], remainder: int) -> bool:
    return zlib.crc32(job.content.task_uuid.bytes) % 5 == remainder


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)
    sys.exit(main(sys.argv[1:]))
