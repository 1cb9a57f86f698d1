"""What a submission may choose, what it is told when it may not, and that old submissions stay the same."""

import json

import pytest

from api.submit.submission import digest, parse
from common.outbound.addresses import AddressPolicy
from common.settings.schema import ApiSettings
from common.tasks.messages import Choices, Output, decode_task
from tests.support.api.api_client import SONG, ApiClient

POLICY = AddressPolicy.from_settings(ApiSettings())
EVERYTHING = {
    "models": ["A.onnx", "B (1) & C+D"],
    "ensemble": "avg_fft",
    "weights": [1, 0.5],
    "stems": ["vocals", "drums"],
    "output": {"format": "mp3", "bitrate_kbps": 192, "sample_rate": "source", "normalize": "lufs:-14.5",
               "tags": "keep"},
    "start_s": 30,
    "duration_s": 12.5,
}  # fmt: skip
NAMED = {
    "label": "Sigur Rós – Ný batterí 🎧",
    "metadata": {"order": 17, "nothing": None, "ö": [1.5, {"a": ""}]},
}


def digest_of(**fields) -> str:
    return digest(parse(json.dumps(SONG | fields).encode(), POLICY)[0])


def test_all_that_is_chosen_reaches_the_task_and_its_bytes():
    client = ApiClient()
    assert client.generate(SONG | EVERYTHING | NAMED).json().keys() == {"message", "status", "task_uuid"}
    (task,) = client.publisher.tasks
    assert task.choices == Choices.model_validate(EVERYTHING)
    assert (task.label, task.metadata) == (NAMED["label"], NAMED["metadata"])
    assert decode_task(task.to_bytes()) == task
    assert json.loads(task.to_bytes())["metadata"] == NAMED["metadata"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        dict.fromkeys(Choices.model_fields),
        {"output": {}},
        {"output": dict.fromkeys(Output.model_fields)},
        {"start_s": 0},
        {"label": None, "metadata": None},
    ],
    ids=str,
)
def test_to_choose_nothing_is_the_task_and_the_digest_of_before(fields):
    client = ApiClient()
    assert client.generate(SONG | fields, {"Idempotency-Key": "a"}).status == 200
    (task,) = client.publisher.tasks
    assert (task.choices, task.label, task.metadata) == (None, None, None)
    assert task.submission_digest == "14eb0c5cbbc0cbb1b48b5641fe70913ee9aecc8d21460ec292f2ddf030fe8632"


def test_digests_stay_the_same_over_versions():
    assert digest_of(hook_url=None) == "c9eedeae016a7ef6f85085d163e86b0a88284dd0705250ae4d7bd35b025744d4"
    with_deadline = digest_of(cancel_after_s=3600)
    assert with_deadline == "070d9dcb65ff612d4fbee0527bca79d741167cbc73d5b3194d8131fbcc40e52e"


@pytest.mark.parametrize("name", [*EVERYTHING, *NAMED])
def test_every_choice_makes_another_submission(name):
    everything = EVERYTHING | NAMED
    without = {n: value for n, value in everything.items() if n not in (name, "ensemble", "weights")}
    assert digest_of(**everything) != digest_of(**without)


MP3 = {"format": "mp3"}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"preset": "a", "model": "b"}, "preset and model cannot be given together: choose one"),
        ({"model": "a", "models": ["b", "c"]}, "model and models cannot be given together: choose one"),
        ({"ensemble": "avg_fft"}, "ensemble goes with models: name at least two"),
        ({"weights": [1, 2]}, "weights go with models: give one for each"),
        ({"models": ["a", "b"], "weights": [1, 2, 3]}, "weights go with models: give one for each"),
        ({"models": ["a", "a"]}, "models names one of them twice"),
        ({"stems": ["vocals", "vocals"]}, "stems names one of them twice"),
        ({"output": {"bitrate_kbps": 320}}, "output.bitrate_kbps goes with the formats mp3, m4a and ogg"),
        ({"output": {"format": "wav", "bitrate_kbps": 320}}, "output.bitrate_kbps goes with the formats mp3"),
        ({"output": MP3 | {"bit_depth": 16}}, "output.bit_depth goes with the formats wav and flac"),
        ({"output": {"format": "flac", "bit_depth": 32}}, "output.bit_depth 32 goes with the format wav"),
        ({"output": MP3 | {"sample_rate": 88200}}, "output.sample_rate is too high: mp3 has no sample rate"),
        ({"output": {"format": "m4a", "sample_rate": 176400}}, "output.sample_rate is too high: m4a has no"),
        ({"output": {"bit_depth": 32, "normalize": "peak"}}, "output.normalize goes with bit_depth 16"),
    ],
)  # fmt: skip
def test_choices_that_contradict_each_other_are_refused(refusing, fields, told):
    answer = refusing.generate(SONG | fields)
    assert (answer.status, answer.json()["error_code"]) == (400, "choices_contradict")
    assert answer.json()["error"].startswith(told)
    assert refusing.publisher.tasks == []


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"output": {"format": "WAV"}}, "output.format: Input should be 'wav', 'flac', 'mp3', 'm4a' or"),
        ({"output": {"bit_depth": "24"}}, "output.bit_depth: Input should be 16, 24 or 32"),
        ({"output": {"sample_rate": 44101}}, "output.sample_rate: must be source, or one of 8000, 11025"),
        ({"output": {"sample_rate": "44100"}}, "output.sample_rate: must be source, or one of 8000"),
        ({"output": {"sample_rate": 44100.0}}, "output.sample_rate: must be source, or one of 8000"),
        ({"output": {"sample_rate": True}}, "output.sample_rate: must be source, or one of 8000"),
        ({"output": MP3 | {"bitrate_kbps": 319}}, "output.bitrate_kbps: must be one of 96, 128"),
        ({"output": MP3 | {"bitrate_kbps": "320"}}, "output.bitrate_kbps: must be one of 96"),
        ({"output": {"normalize": "lufs:0"}}, "output.normalize: must be none, peak, or lufs:N with N"),
        ({"output": {"normalize": "lufs:-41"}}, "output.normalize: must be none, peak, or lufs:N"),
        ({"output": {"normalize": ["peak"]}}, "output.normalize: must be none, peak, or lufs:N"),
        ({"output": {"tags": True}}, "output.tags: Input should be 'keep' or 'none'"),
        ({"output": "mp3"}, "output: Input should be an object"),
        ({"output": []}, "output: Input should be an object"),
        ({"preset": "Best"}, "preset: expected the name of a preset"),
        ({"preset": 1}, "preset: expected the name of a preset"),
        ({"model": "../x"}, "model: expected the name of a model"),
        ({"model": "a" * 201}, "model: expected the name of a model"),
        ({"models": ["a", "b\n"]}, "models.1: expected names of models"),
        ({"models": ["a"]}, "models: expected 2 to 5 names"),
        ({"models": ["a", "b", "c", "d", "e", "f"]}, "models: expected 2 to 5 names"),
        ({"models": ["a", "b"], "ensemble": "mean"}, "ensemble: Input should be 'avg_wave', 'median_wave'"),
        ({"models": ["a", "b"], "weights": [1, 0]}, "weights.1: Input should be greater than 0"),
        ({"stems": []}, "stems: expected 1 to 16 names"),
        ({"stems": "vocals"}, "stems: "),
        ({"stems": ["vocals", "Drums"]}, "stems.1: expected names of stems"),
        ({"start_s": -1}, "start_s: Input should be greater than or equal to 0"),
        ({"start_s": "30"}, "start_s: Input should be a valid number"),
        ({"start_s": True}, "start_s: Input should be a valid number"),
        ({"duration_s": 0}, "duration_s: Input should be greater than 0"),
        ({"duration_s": 1e300}, "duration_s: Input should be less than or equal to 1000000"),
        ({"duration_s": float("inf")}, "duration_s: "),
    ],
)  # fmt: skip
def test_a_wrong_choice_is_refused_with_its_path_and_what_is_possible(refusing, fields, told):
    answer = refusing.generate(SONG | fields)
    assert answer.status == 400
    assert answer.json()["error"].startswith(told)
    assert refusing.publisher.tasks == []


def nested(depth: int) -> dict:
    return {"a": nested(depth - 1)} if depth > 1 else {}


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"a": "x" * 2040}, ""),
        ({"a": "x" * 2041}, "metadata: has 2049 bytes as JSON, and 2048 are allowed"),
        ({"ü": "ü" * 1020}, "metadata: has 2049 bytes as JSON"),
        (nested(32), ""),
        (nested(33), "metadata: has more than 32 objects and lists inside one another"),
        ({"a": {"b\u0000": 1}}, "metadata: has the character U+0000"),
        ({"a": ["\u001f"]}, "metadata: has the character U+001F"),
        ({"a": "\ufffe"}, "metadata: has the character U+FFFE"),
        ({"a": float("nan")}, "metadata: has a number that is not finite"),
        ({"a": [float("inf")]}, "metadata: has a number that is not finite"),
        ([], "metadata: Input should be an object"),
        ("text", "metadata: Input should be an object"),
        ({}, ""),
        ({"big": 10**400}, ""),
    ],
    ids=lambda given: str(given)[:40],
)
def test_metadata_is_what_other_programs_can_hold(metadata, told):
    client = ApiClient()
    answer = client.generate(SONG | {"metadata": metadata})
    if not told:
        assert answer.status == 200
        assert decode_task(client.publisher.tasks[0].to_bytes()).metadata == metadata
        return
    assert (answer.status, answer.json()["error_code"]) == (400, "metadata_invalid")
    assert answer.json()["error"].startswith(told)


def test_metadata_that_is_too_deep_for_any_parser_is_refused():
    body = json.dumps(SONG)[:-1].encode() + b', "metadata": {"a":' + b"[" * 1000 + b"]" * 1000 + b"}}"
    assert ApiClient().generate(body).status == 400


@pytest.mark.parametrize(
    ("label", "status"),
    [("🎧" * 200, 200), ("🎧" * 201, 400), ("a\r\nb", 200), ("\u202egnp", 200), ('"/\\', 200), ("", 400),
     (" \t", 400), ("a\u0000", 400), ("\u0007", 400), ("\uffff", 400), (5, 400)],
)  # fmt: skip
def test_a_label_is_a_text_that_other_programs_can_hold(label, status):
    answer = ApiClient().generate(SONG | {"label": label})
    assert answer.status == status
    assert status == 200 or answer.json()["error_code"] == "label_invalid"


def test_half_a_surrogate_pair_is_no_text():
    assert ApiClient().generate(SONG | {"label": "\ud83c"}).status == 400
    assert ApiClient().generate(SONG | {"metadata": {"a": "\udfa7"}}).status == 400


@pytest.mark.parametrize(("cache", "status"), [("refresh", 200), (None, 200), ("use", 400), (True, 400)])
def test_only_refresh_can_be_asked_of_the_cache(cache, status):
    client = ApiClient()
    assert client.generate(SONG | {"cache": cache}).status == status
    assert [task.cache for task in client.publisher.tasks] == [cache] * (status == 200)


def test_the_cache_is_part_of_the_digest_only_where_something_is_asked_of_it():
    assert digest_of(cache=None) == digest_of()
    assert digest_of(cache="refresh") != digest_of()


@pytest.mark.parametrize("priority", [1, 2, 3, 4, 5])
def test_a_task_has_the_priority_of_its_submission(priority):
    client = ApiClient()
    assert client.generate(SONG | {"priority": priority}).status == 200
    assert client.publisher.tasks[0].priority == priority
    assert (digest_of(priority=priority) == digest_of()) == (priority == 3)


@pytest.mark.parametrize("priority", [0, 6, -1, "5", 4.0, 4.5, True, None, [5], 10**30])
def test_any_other_priority_is_refused(refusing, priority):
    answer = refusing.generate(SONG | {"priority": priority})
    assert answer.status == 400
    assert "priority" in answer.json()["error"]
    assert refusing.publisher.tasks == []


def test_the_events_for_the_hook_are_in_order_and_the_default_is_left_out():
    client = ApiClient()
    for events in (["failed", "started", "started"], ["cancelled", "failed", "succeeded"]):
        assert client.generate(SONG | {"hook_events": events}).status == 200
    assert [task.hook_events for task in client.publisher.tasks] == [("started", "failed"), None]
    for wrong in ([], ["ended"], "started"):
        assert client.generate(SONG | {"hook_events": wrong}).status == 400
