"""A song that was separated before needs no engine: when stems serve again, and when they do not."""

import json
from dataclasses import replace
from uuid import UUID

import pytest
from botocore.exceptions import ConnectTimeoutError

from common.storage import bucket_keys
from common.tasks.messages import Separated, State, Task
from common.tasks.messages.choices import Choices, Output
from common.tasks.messages.manifest import CacheEntry
from processor import cache
from processor.audio.prepare import PreparedAudio, PreparedSource
from processor.cache import ResultCache
from processor.engine.protocol import Installed
from tests.support import audio
from tests.support.common.worker.fakes import FakeContext, run
from tests.support.http_server import ScriptedServer, serve
from tests.support.processor.processor_harness import FakeEngine, ProcessorHarness
from tests.support.uploader.memory_bucket import MemoryBucket

MODEL = Installed("default", "MDX", ("vocals",), "a" * 64, "openvino", "fp32")
EARLIER = UUID(int=3)
STEM = f"out/{EARLIER}/1/vocals.wav"


class Lab:
    """A handler with a cache. `digest` is that of a song that it has just separated."""

    def __init__(self, directory):
        self.server = ScriptedServer()
        self.harness = ProcessorHarness(directory, self.server)
        self.bucket, self.engine, self.models = MemoryBucket(), FakeEngine(), [MODEL]
        self.now_s, self.directory = 1000.0, directory
        self.start_another_processor()

    def start_another_processor(self) -> None:
        """It has prepared no song yet."""
        self.cache = ResultCache(self.bucket, "out/", 100.0, lambda: self.models, lambda: self.now_s)

    def work(self, path="/song.wav", **fields) -> Separated:
        handler = self.harness.handler(self.engine, cache=self.cache)
        record = self.harness.record(path)
        task = Task.model_validate_json(record.value).model_copy(update={"user": "alice"} | fields)
        done = run(handler, replace(record, value=task.to_bytes()), FakeContext())
        self.messages = done.messages
        return Separated.model_validate_json(done.messages[0].value)

    def keep(self, digest: str, user: str = "alice") -> None:
        """Notes that task EARLIER has the stems of the song with this digest."""
        entry = CacheEntry(
            task_uuid=EARLIER,
            run=1,
            created_at=950.0,
            stems={"vocals": {"url": STEM, "sha256": "b" * 64, "bytes": 4, "duration_s": 1.5}},
            model="centre",
            device="a GPU",
            gain=0.25,
        )
        self.bucket.bodies[bucket_keys.cached("out/", user, digest)] = entry.to_bytes()


@pytest.fixture
def lab(tmp_path):
    found = Lab(tmp_path)
    with found.server:
        yield found


def test_a_song_that_was_separated_before_needs_no_engine(lab):
    first = lab.work()
    assert first.cached_from is None
    lab.keep(first.cache_digest)
    task = Task.model_validate_json(lab.harness.record().value).model_copy(update={"user": "alice"})
    again = lab.work()
    assert len(lab.engine.sources) == 1
    assert (again.cached_from, again.cached_run, again.cache_digest) == (EARLIER, 1, first.cache_digest)
    assert (again.model, again.device, again.gain) == ("centre", "a GPU", 0.25)
    assert json.loads(again.stems["vocals"].to_bytes()) == {
        "key": "vocals.wav",
        "sha256": "b" * 64,
        "bytes": 4,
        "duration_s": 1.5,
    }
    # All that it takes to separate the song after all, its address's secrets among them.
    assert again.task == task
    assert len(lab.messages) == 1


def test_a_processor_decodes_a_song_once_for_the_same_stems(lab):
    lab.keep(lab.work().cache_digest)
    assert State.PREPARING not in lab.work().times
    # The same bytes, by another name that says nothing of their format.
    lab.server.on("/song", serve(lab.harness.song, content_type="audio/wav"))
    assert State.PREPARING not in lab.work("/song").times
    assert State.PREPARING in lab.work(choices=Choices(start_s=0.05)).times
    assert State.PREPARING in lab.work(choices=Choices(duration_s=0.1)).times
    lab.start_another_processor()
    again = lab.work()
    assert (again.cached_from, State.PREPARING in again.times) == (EARLIER, True)


def test_a_known_song_whose_stems_are_gone_is_separated_with_the_same_digest(lab):
    first = lab.work()
    lab.bucket.bodies.clear()
    again = lab.work()
    assert (again.cached_from, again.cache_digest) == (None, first.cache_digest)
    assert len(lab.engine.sources) == 2


def test_a_processor_forgets_the_song_that_it_prepared_first(lab, monkeypatch):
    monkeypatch.setattr(cache, "_MOST_FILES", 1)
    lab.keep(lab.work().cache_digest)
    lab.work(choices=Choices(start_s=0.05))
    again = lab.work()
    assert (again.cached_from, State.PREPARING in again.times) == (EARLIER, True)


def test_another_user_and_who_wants_it_anew_get_stems_of_their_own(lab):
    lab.keep(lab.work().cache_digest)
    assert lab.work(user="bob").cached_from is None
    refreshed = lab.work(cache="refresh")
    assert (refreshed.cached_from, refreshed.cache_digest) == (None, lab.work().cache_digest)


@pytest.mark.parametrize("gone", ["old", "no entry"])
def test_stems_that_are_old_or_not_named_do_not_serve(lab, gone):
    lab.keep(lab.work().cache_digest)
    match gone:
        case "old":
            lab.now_s = 950.0 + 100.0
        case "no entry":
            lab.bucket.bodies = {key: b"{}" for key in lab.bucket.bodies}
    assert lab.work().cached_from is None
    assert len(lab.engine.sources) == 2


def test_a_processor_reads_nothing_in_the_bucket_but_cache_entries(lab):
    read: list[str] = []
    lab.keep(lab.work().cache_digest)
    lab.bucket.fail = lambda what, key: read.append(key)
    assert lab.work().cached_from == EARLIER
    assert [key.startswith("out/cache/") for key in read] == [True]


def test_a_store_that_does_not_answer_costs_engine_time_and_no_task(lab):
    lab.keep(lab.work().cache_digest)

    def away(what: str, key: str) -> None:
        raise ConnectTimeoutError(endpoint_url="http://store.example")

    lab.bucket.fail = away
    assert lab.work().cached_from is None


def test_what_the_stems_depend_on_tells_songs_apart(lab, monkeypatch):
    digests = [lab.work().cache_digest]
    song = audio.write(lab.directory / "other.wav", audio.noise(0.3)).read_bytes()
    lab.server.on("/other.wav", serve(song, content_type="audio/wav"))
    digests.append(lab.work("/other.wav").cache_digest)
    for choices in (Choices(stems=("vocals",)), Choices(start_s=0.05)):
        digests.append(lab.work(choices=choices).cache_digest)
    for changed in (
        {"sha256": "c" * 64},
        {"rest_sha256": "d" * 64},
        {"precision": "bf16"},
        {"runtime": "torch"},
    ):
        lab.models = [replace(MODEL, **changed)]
        digests.append(lab.work().cache_digest)
    lab.models = [MODEL]
    monkeypatch.setattr(cache, "__version__", "another")
    digests.append(lab.work().cache_digest)
    assert len(set(digests)) == len(digests)
    lab.models = [replace(MODEL, sha256="")]
    assert lab.work().cache_digest is None


def test_the_format_of_the_stems_tells_songs_apart(lab):
    handler = lab.harness.handler()
    source = audio.write(lab.directory / "mix.wav", audio.noise(0.2))
    mix = audio_of(source)
    changes = [{"format": "flac"}, {"bit_depth": 24}, {"normalize": "peak"}, {"tags": "keep"}]
    outputs = [None, *(Output(**change) for change in changes)]
    plans = [handler._maker.plan(output and Choices(output=output)) for output in outputs]
    songs = [lab.cache.recall(plan, source, lambda: None) for plan in plans]
    digests = [
        lab.cache.digest(plan, mix, song, lambda: None) for plan, song in zip(plans, songs, strict=True)
    ]
    assert len(set(digests)) == len(outputs)


def audio_of(path) -> PreparedAudio:
    return PreparedAudio(path, 100, 0.1, 0.5, "pcm", "wav", 44100, 2, PreparedSource(path, 44100, 100))
