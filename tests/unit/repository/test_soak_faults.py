"""The soak's faults: each takes the place of a part of the product, as the service puts it together."""

import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.jobs.outcome import Done
from common.settings.schema import ProcessorSettings, UploaderSettings
from common.tasks.cancels import Cancels
from processor import assembly
from processor.handler import ProcessorHandler
from processor.metrics import ProcessorMetrics
from processor.presets.recipe import Recipes
from soak import faults
from uploader import handler
from uploader import run as uploader
from uploader.metrics import UploaderMetrics

STORE = {"s3_bucket_name": "soak", "s3_endpoint_url": "http://127.0.0.1:1"}


@pytest.fixture(autouse=True)
def _own_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the product's own parts back after each test."""
    monkeypatch.setattr(assembly, "ProcessorHandler", assembly.ProcessorHandler)
    for replacement in [one for chosen in faults.UPLOADERS.values() for one in chosen]:
        name = replacement.faulty.__mro__[1].__name__
        monkeypatch.setattr(replacement.module, name, getattr(replacement.module, name))
    monkeypatch.setattr(faults, "KafkaProducer", SentMessages)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")


class SentMessages:
    """Stands in for a producer, and keeps what is sent."""

    def __init__(self, **options: object):
        self.sent: list[str] = []

    def send(self, topic: str, **record: object) -> SimpleNamespace:
        self.sent.append(topic)
        return SimpleNamespace(get=lambda timeout: None)


def processor_handler(directory: Path) -> ProcessorHandler:
    """The handler as a processor builds it."""
    settings = ProcessorSettings(temp_dir=directory, worker_id="w")
    parts = SimpleNamespace()
    return assembly.make_handler(
        settings, parts, parts, parts, ProcessorMetrics.create(), Cancels(), parts, Recipes(("m",), {}), None,
        parts,
    )  # fmt: skip


def overridden(faulty: type) -> set[str]:
    return {name for name, value in vars(faulty).items() if inspect.isfunction(value)} - {"__init__"}


@pytest.mark.parametrize("name", faults.PROCESSORS)
def test_a_processor_is_built_with_each_fault(name, tmp_path):
    faults.put_in_processor([name])
    built = processor_handler(tmp_path)
    assert isinstance(built, faults.PROCESSORS[name])
    assert overridden(faults.PROCESSORS[name]) <= set(dir(ProcessorHandler))


def test_all_faults_of_a_processor_are_seen_together(tmp_path, monkeypatch):
    """Whatever their order: a result that was published already can no longer be left out."""
    message = SimpleNamespace(topic="results", key=b"", value=b"")
    done = Done((message,), after_commit=tmp_path.rmdir)
    monkeypatch.setattr(ProcessorHandler, "run", lambda self, job, context: done)
    monkeypatch.setattr(faults, "_is_one_in_five", lambda job, remainder: remainder == 1)
    for names in (["publish-twice", "publish-first", "forget"], ["publish-first", "publish-twice"]):
        faults.put_in_processor(names)
        built = processor_handler(tmp_path / str(len(names)))
        outcome = built.run(SimpleNamespace(), SimpleNamespace(wait=lambda seconds: None))
        assert outcome.messages == ()
        assert outcome.after_commit == tmp_path.rmdir
        assert built._producer.sent == ["results", "results"]


@pytest.mark.parametrize("stage", ["path", "s3"])
@pytest.mark.parametrize("name", faults.UPLOADERS)
def test_an_uploader_is_built_with_each_fault(name, stage, tmp_path):
    faults.put_in_uploader([name])
    settings = UploaderSettings(stage=stage, output_dir=tmp_path, worker_id="w", **STORE)
    storage, secrets = uploader._storage_and_secrets(settings)
    opened = uploader._open_stage(settings, storage)
    outbox, metrics = SimpleNamespace(), UploaderMetrics.create()
    songs = uploader._song_keeper(settings, storage)
    built = uploader._make_handler(settings, secrets, storage, opened, outbox, metrics, Cancels(), songs)
    parts = [type(part) for part in (storage, opened, built._deliverer._sender)]
    assert {one.faulty for one in faults.UPLOADERS[name]} & set(parts)
    for replacement in faults.UPLOADERS[name]:
        own = replacement.faulty.__mro__[1]
        assert overridden(replacement.faulty) <= set(vars(own)), own


def test_a_fault_without_its_part_cannot_be_put_in():
    class Stray(dict):
        pass

    with pytest.raises(AttributeError, match="has no dict for Stray"):
        faults.Replacement(handler, Stray).put_in()


@pytest.mark.parametrize(
    ("names", "real_engine", "said"),
    [
        (["forget", "publish-twice", "no-manifest"], False, None),
        (["no-manifest"], True, None),
        (["forget", "forget"], False, "given twice"),
        (["untidy", "forget", "untidy"], False, "given twice"),
        (["no-manifest", "forget"], True, "leave out --real-engine"),
    ],
)
def test_faults_that_would_not_be_seen_are_refused(names, real_engine, said):
    why = faults.why_impossible(names, real_engine)
    assert why is None if said is None else said in why
