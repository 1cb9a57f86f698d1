"""A service whose jobs sleep: the worker loop of the product with nothing else in it.

    python -m tests.support.common.worker.sleeper

Reads JSON `{"i": id, "s": seconds}` from the task topic and publishes `{"i", "attempt", "worker"}` to the
result topic. With `"fail": n` the first n tries fail for now; with `"deaf": seconds` the first attempt does
not notice for so long that it is to stop; with `"gate": path` a job waits until there is such a file. `"p"`
is the job's priority and `"u"` its user. SLEEPER_LOG gets a JSON line when a job starts and one when it ends.
SLEEPER_LANES=one: reads the task topic alone, as a worker of a version without lanes.
"""

import json
import os
import sys
import time
from dataclasses import replace

from common.errors import ErrorCode, PermanentError, TransientError
from common.jobs.handler import Job, JobContext
from common.jobs.lanes import ONE_LANE, LaneRules, Ticket
from common.jobs.outcome import Done, Failed, Outcome, Poison
from common.jobs.retry import Decision, Retry, RetrySchedule
from common.kafka import lanes
from common.kafka.lanes import DEFAULT_PRIORITY
from common.kafka.records import Message, Record
from common.observability import log
from common.settings.loading import load_or_exit
from common.settings.schema import ProcessorSettings
from common.worker.metrics import WorkerMetrics
from common.worker.service import Service


class Sleeper:
    def __init__(self, result_topic: str, worker_id: str, retries: int):
        self._result_topic, self._worker_id = result_topic, worker_id
        self._schedule = RetrySchedule("job", retries)
        self._log = open(os.environ["SLEEPER_LOG"], "a", buffering=1)  # noqa: SIM115 - lives as long as we do

    def decode(self, record: Record) -> dict | Poison:
        try:
            return json.loads(record.value)
        except ValueError as error:
            return Poison(str(error))

    def run(self, given: Job[dict], context: JobContext) -> Outcome:
        job, record = given.content, given.record
        self._note("start", job, record, context)
        try:
            time.sleep(job.get("deaf", 0) if context.attempt == 1 else 0)
            while "gate" in job and not os.path.exists(job["gate"]):
                context.wait(0.02)
            context.wait(job["s"])
        finally:
            self._note("end", job, record, context)
        if given.history.tries(self._schedule) < job.get("fail", 0):
            raise TransientError(ErrorCode.NETWORK_ERROR, "as it was told to")
        return self._result(record, {"i": job["i"], "attempt": context.attempt, "worker": self._worker_id})

    def _note(self, event: str, job: dict, record: Record, context: JobContext) -> None:
        line = {
            "event": event,
            "at_ms": int(time.time() * 1000),
            "i": job["i"],
            "topic": record.topic,
            "attempt": context.attempt,
            "worker": self._worker_id,
        }
        self._log.write(json.dumps(line) + "\n")

    def schedule(self, error: TransientError) -> RetrySchedule:
        return self._schedule

    def after_failure(self, job: Job[dict], failed: Failed, decision: Decision, context: JobContext) -> Done:
        if isinstance(decision, Retry):
            return Done()
        done = self._result(job.record, {"i": job.content["i"], "error": failed.error.code})
        letters = () if isinstance(failed.error, PermanentError) else (decision.letter,)
        return replace(done, messages=(*done.messages, *letters))

    def _result(self, record: Record, body: dict) -> Done:
        return Done((Message(self._result_topic, record.key, json.dumps(body).encode()),))


def ticket_of(record: Record) -> Ticket:
    try:
        job = json.loads(record.value)
    except ValueError:
        return Ticket()
    return Ticket(job.get("p", DEFAULT_PRIORITY), job.get("u", ""))


def main() -> int:
    settings = load_or_exit(ProcessorSettings)
    others = lanes.topics(settings.kafka_task_topic)[1:]
    log.configure("sleeper", settings.log_dir, settings.log_level)
    service = Service(
        settings,
        settings.kafka_task_topic,
        settings.kafka_group_id,
        settings.kafka_max_poll_interval_ms,
        settings.slots,
        Sleeper(settings.kafka_result_topic, settings.worker_id, len(settings.retry_delays_s)),
        {},
        WorkerMetrics.create("sleeper"),
        lanes=LaneRules(others, ticket_of) if os.environ.get("SLEEPER_LANES") != "one" else ONE_LANE,
    )
    return service.run(lambda stopping: None)


if __name__ == "__main__":
    sys.exit(main())
