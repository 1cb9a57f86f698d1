"""The whole system with one process that dies at a failpoint, and what everyone who looks then sees."""

import hashlib
import json
import re
import signal
from pathlib import Path
from typing import Any

from common.failpoint import VARIABLE, Failpoint
from common.kafka import lanes, retry_topics
from tests.support.api.task_client import task
from tests.support.common.kafka.group import Reader
from tests.support.servers import S3Store
from tests.support.stack import Service, Stack
from tests.support.trio import Callback, Trio
from tests.support.waiting import below, wait_for

# The processor with a stand-in for its engine.
PROCESSOR = "tests.support.processor.stand_in_processor"
STEMS = ("instrumental.wav", "vocals.wav")


class CrashSystem:
    """A trio whose parts are killed and started again, for all tests of a module."""

    def __init__(self, stack: Stack, bootstrap: str, store: S3Store, model_dir: Path, **settings: str):
        shared = {"MODEL_NAME": "centre", "ENGINE_SLEEP_S": "0", **settings}
        self.trio = Trio(stack, bootstrap, store, model_dir, **shared)
        self.store = store
        self._records: Reader | None = None

    def close(self) -> None:
        if self._records is not None:
            self._records.close()
        self.trio.close()

    def armed(self, module: str, point: Failpoint) -> Service:
        """The module's process, which dies when it gets to `point`: its one WORKER_ID in every test."""
        name = module.rpartition(".")[2]
        service = self.trio.services.get(name)
        if service is None:
            self.trio.start(module, **{VARIABLE: point})
            return self.trio.services[name]
        service.kill()
        service.process.env[VARIABLE] = point
        service.start()
        service.wait_ready()
        return service

    def wait_for_end(self, service: Service) -> None:
        wait_for(lambda: service.process.returncode is not None, 60, f"end of {service.module}")
        assert service.process.returncode == -signal.SIGKILL, service.tail()

    def restart(self, service: Service) -> None:
        """As any supervisor would: the same WORKER_ID, and no failpoint."""
        del service.process.env[VARIABLE]
        service.start()

    def replace(self, service: Service) -> Service:
        """Another worker, with an id of its own, takes over from one that is gone for good."""
        return self.trio.stack.start(service.module, self.trio.settings)

    def submitted(self, task_uuid: str, priority: int) -> list:
        """The committed records of a task in the topic of a lane."""
        topic = lanes.topic(self.trio.settings["KAFKA_TASK_TOPIC"], priority)
        return [r for r in self._all_records() if r.topic == topic and r.key == task_uuid.encode()]

    def records(self, setting: str, task_uuid: str, retries: bool = False) -> list:
        """The committed records of a task in a topic; `retries`: in the topic's retry topics instead."""
        return [r for r in self.records_of(setting, retries) if r.key == task_uuid.encode()]

    def records_of(self, setting: str, retries: bool = False) -> list:
        """The same of all tasks; those of one partition in their order."""
        topic = self.trio.settings[setting]
        delays_s = map(int, self.trio.settings["RETRY_DELAYS_S"].split(","))
        topics = retry_topics.topics(topic, delays_s) if retries else [topic]
        return [r for r in self._all_records() if r.topic in topics]

    def wait_for_records(self, setting: str, key: str, count: int = 1, timeout_s: float = 60) -> None:
        """Waits for the committed records with a key, a task or a batch, in a topic."""
        topic = self.trio.settings[setting]

        def are_there(found: list) -> bool:
            return sum(r.topic == topic and r.key == key.encode() for r in found) >= count

        self._reader().wait_for(are_there, timeout_s, f"{count} records of {key} in {topic}")

    def _all_records(self) -> list:
        return self._reader().read()

    def _reader(self) -> Reader:
        if self._records is None:
            settings = self.trio.settings
            tag = settings["KAFKA_TASK_TOPIC"].rpartition("-")[2]
            self._records = Reader(settings["KAFKA_BOOTSTRAP_SERVERS"], lambda name: f"-{tag}" in name)
        return self._records

    def results(self, task_uuid: str) -> list[dict[str, Any]]:
        """What the result topic holds of a task besides what asks for its callback again."""
        found = [json.loads(record.value) for record in self.records("KAFKA_RESULT_TOPIC", task_uuid)]
        return [result for result in found if result["status"] != "redeliver"]

    def objects(self, task_uuid: str) -> dict[str, tuple]:
        """What the store holds of the task's first run: ETag and time of writing, by name."""
        prefix = f"{task_uuid}/"
        found = self.store.client().list_objects_v2(Bucket=self.store.bucket, Prefix=prefix)
        objects = found.get("Contents", [])
        return {o["Key"].removeprefix(f"{prefix}1/"): (o["ETag"], o["LastModified"]) for o in objects}

    def uploads(self, task_uuid: str) -> list[str]:
        """The keys of the task's unfinished multipart uploads."""
        found = self.store.client().list_multipart_uploads(Bucket=self.store.bucket).get("Uploads", [])
        return [upload["Key"] for upload in found if task_uuid in upload["Key"]]

    def staged(self, task_uuid: str) -> list[str]:
        if self.trio.settings.get("STAGE") == "s3":
            return self.store.object_keys(f"stage/{task_uuid}/")
        return below(self.trio.stack.outputs / task_uuid, files_only=True)

    def attempts(self, service: Service, task_uuid: str) -> list[int]:
        """As the processor's log has them, in order."""
        return [int(n) for n in re.findall(rf"\[{task_uuid}\] task taken, attempt (\d+)", service.log())]

    def wait_for_deliveries(self, task_uuid: str, count: int = 1) -> None:
        """Waits for the transactions that end the uploader's part."""
        self.trio.wait_for_callback(task_uuid)
        self.wait_for_records("KAFKA_DELIVERY_TOPIC", task_uuid, count)

    def assert_seen_once(
        self,
        task_uuid: str,
        callbacks: int = 1,
        results: int = 1,
        deliveries: int = 1,
        task_retries: int = 0,
        result_retries: int = 0,
        redeliveries: int = 0,
    ) -> None:
        """The receiver, the store, the topics and the stage, once the uploader's last transaction is over.

        `redeliveries` are those among the deliveries.
        """
        self.wait_for_deliveries(task_uuid, deliveries)
        wait_for(lambda: not self.staged(task_uuid), 30, f"empty stage: {self.staged(task_uuid)}")
        self._assert_receiver(task_uuid, callbacks)
        self._assert_store(task_uuid)
        assert [result["run"] for result in self.results(task_uuid)] == [1] * results
        counts = [
            len(self.records("KAFKA_DELIVERY_TOPIC", task_uuid)),
            len(self.records("KAFKA_TASK_TOPIC", task_uuid, retries=True)),
            len(self.records("KAFKA_RESULT_TOPIC", task_uuid, retries=True)),
            len(self.records("KAFKA_DEAD_LETTER_TOPIC", task_uuid)),
        ]
        assert counts == [deliveries, task_retries, result_retries, 0]
        self._assert_status(task_uuid, deliveries - redeliveries)

    def _assert_status(self, task_uuid: str, deliveries: int) -> None:
        """Its end is told once with each delivery of its run, and that is what the api says."""
        told = [json.loads(record.value) for record in self.records("KAFKA_STATUS_TOPIC", task_uuid)]
        ends = [status["state"] for status in told if "next_try_at" not in status]
        # One that waits for a place, and for no next try, says so once more.
        tries = sum(status["state"] == "delivering" and "next_try_at" in status for status in told)
        assert ends.count("succeeded") == deliveries - tries
        assert not {"failed", "cancelled"} & set(ends)
        url = self.trio.services["api"].url
        wait_for(lambda: task(url, task_uuid)["state"] == "succeeded", 30, "the task's end in the api")

    def _assert_receiver(self, task_uuid: str, count: int) -> None:
        found: list[Callback] = self.trio.callbacks(task_uuid)
        assert len(found) == count
        assert found[0].json["status"] == "success", found[0].json
        assert {callback.body for callback in found} == {found[0].body}
        assert {callback.headers["webhook-id"] for callback in found} == {f"{task_uuid}.1"}

    def _assert_store(self, task_uuid: str) -> None:
        body = self.trio.callbacks(task_uuid)[0].body
        result = self.results(task_uuid)[-1]
        # A stand-in's stems are no audio that has peaks.
        names = (*STEMS, "manifest.json", *(["peaks.json"] if "peaks" in result else []))
        assert sorted(self.objects(task_uuid)) == sorted(names)
        assert self._read(task_uuid, "manifest.json") == body
        announced: dict[str, Any] = result["stems"]
        for name, stem in json.loads(body)["stems"].items():
            digest = hashlib.sha256(self._read(task_uuid, f"{name}.wav")).hexdigest()
            assert digest == stem["sha256"] == announced[name]["sha256"]
        assert self.uploads(task_uuid) == []

    def _read(self, task_uuid: str, name: str) -> bytes:
        key = f"{task_uuid}/1/{name}"
        return self.store.client().get_object(Bucket=self.store.bucket, Key=key)["Body"].read()
