"""Fields of a submission that nobody knows, and bodies that are no JSON at all."""

import json
import logging

import pytest

from api.submit.unknown_fields import distance
from tests.support.api.api_client import SONG, ApiClient

KEY = {"Idempotency-Key": "order-1"}


MISSPELT = {
    "hook_url": "hookurl hookUrl hook-url Hook_URL HOOK_URL hook hooks hook_uri hok_url hook_ulr webhook_url",
    "audio": "Audio AUDIO audoi adio audios audio_url audio-file",
    "cancel_after_s": "cancel_after cancelAfterS cancel cancel_after_sec cancel_after_seconds"
    " cancel_after_ms cancle_after_s",
    "preset": "Preset presets preset_name perset",
    "model": "Model modle model_name modell",
    "models": "model_s MODELS",
    "ensemble": "ensembles Ensemble ensamble",
    "weights": "weight wieghts",
    "stems": "stem Stems stms",
    "output": "Output outputs ouput",
    "start_s": "start start_seconds startS",
    "duration_s": "duration duration_sec durationS",
    "label": "Label labels lable",
    "metadata": "meta meta_data metaData",
    "output.format": "format output.Format output.formats",
    "output.bit_depth": "bit_depth output.bitDepth output.bit_dept",
    "output.sample_rate": "sample_rate output.samplerate output.sample_rate_hz",
    "output.bitrate_kbps": "bitrate_kbps output.bitrate output.bitrate_kpbs",
    "output.normalize": "normalize output.normalise",
    "output.tags": "tags output.tag",
}


@pytest.mark.parametrize(
    ("name", "meant"), [(name, meant) for meant, names in MISSPELT.items() for name in names.split()]
)
@pytest.mark.parametrize("beside", [SONG, {}], ids=["beside the right one", "in its place"])
def test_a_misspelt_field_is_refused_with_the_one_that_is_meant(refusing, name, meant, beside):
    outer, _, inner = name.rpartition(".")

    def body(value):
        return {outer: {inner: value}} if outer else {inner: value}

    answer = refusing.generate({**{n: value for n, value in beside.items() if n != meant}, **body("x")})
    assert (answer.status, answer.json()["error_code"]) == (400, "field_unknown")
    assert answer.json()["error"] == f"{name}: there is no such field; is {meant} meant?"
    assert refusing.publisher.tasks == []
    assert refusing.generate({**beside, **body(None)}).status == 400


@pytest.mark.parametrize(
    "names",
    [["urgency"], ["artist", "output_format", "urgency"], ["task_uuid", "run", "user"], ["state", "status"],
     ["notify_events", "comment", "title", "date"], ["audio_format"], ["", "_", "é", "音楽"],
     ["model_fields", "__class__", "model_extra", "choices"]],
)  # fmt: skip
def test_other_fields_are_left_aside_and_named(caplog, names):
    caplog.set_level(logging.INFO)
    client = ApiClient()
    answer = client.generate(SONG | dict.fromkeys(names, "TOPSECRET"))
    assert answer.status == 200
    assert answer.json()["ignored"] == names
    log = [record.getMessage() for record in caplog.records]
    (line,) = [line for line in log if line.startswith("Fields ignored")]
    assert all(ascii(name)[1:-1] in line for name in names)
    assert not [line for line in log if "TOPSECRET" in line]
    assert b"TOPSECRET" not in client.publisher.tasks[0].to_bytes()


def test_unknown_fields_of_the_output_are_named_with_their_path():
    client = ApiClient()
    answer = client.generate(SONG | {"output": {"format": "mp3", "foo": "TOPSECRET", "": 1}, "urgency": 2})
    assert answer.json()["ignored"] == ["urgency", "output.foo", "output."]
    assert b"TOPSECRET" not in client.publisher.tasks[0].to_bytes()


def test_the_answer_to_known_fields_alone_is_the_contracts():
    answer = ApiClient().generate(SONG | {"cancel_after_s": 60})
    assert answer.json().keys() == {"message", "status", "task_uuid"}


def test_unknown_fields_make_no_other_submission_of_a_key():
    client = ApiClient()
    first, second = (client.generate(SONG | more, KEY).json() for more in ({}, {"urgency": "x"}))
    assert second == first | {"ignored": ["urgency"]}
    one, other = client.publisher.tasks
    assert one.submission_digest == other.submission_digest


def test_what_a_log_shows_of_names_is_short_and_controls_nothing(caplog):
    caplog.set_level(logging.INFO)
    names = [f"\u202e{'x' * 1000}\n{number}" for number in range(30)]
    answer = ApiClient().generate(SONG | dict.fromkeys(names, 1))
    assert answer.json()["ignored"] == names
    (line,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Fields ignored")]
    assert len(line) < 2000
    assert line.isascii()
    assert line.isprintable()
    assert line.endswith(" and 20 more")


def test_thousands_of_names_are_no_work():
    body = json.dumps(SONG | {f"cbncel{n:05}": 1 for n in range(3000)}).encode()
    answer = ApiClient().generate(body)
    assert (answer.status, len(answer.json()["ignored"])) == (200, 3000)


def test_a_misspelt_name_is_shown_in_part():
    answer = ApiClient().generate(SONG | {"hook_url" + "_" * 5000: "x"})
    assert answer.status == 400
    assert len(answer.json()["error"]) < 200


@pytest.mark.parametrize(
    ("one", "other", "most", "expected"),
    [("abc", "abc", 2, 0), ("abc", "acb", 2, 1), ("abc", "ab", 2, 1), ("abc", "xbc", 2, 1),
     ("abcd", "badc", 2, 2), ("abc", "xyz", 2, None), ("", "ab", 2, 2), ("", "abc", 2, None)],
)  # fmt: skip
def test_a_slip_is_a_letter_too_many_too_few_another_or_two_in_turn(one, other, most, expected):
    assert distance(one, other, most) == distance(other, one, most) == expected


# bodies that are files


@pytest.mark.parametrize(
    "content_type",
    [
        "Multipart/Mixed",
        "audio/mpeg",
        "audio/wav",
        "video/mp4",
        " image/png",
    ],
)
@pytest.mark.parametrize("length", [10, 5_000_000])
def test_a_file_is_told_what_to_send_instead_whatever_its_size(content_type, length):
    client = ApiClient()
    answer = client.generate(headers={"Content-Type": content_type, "Content-Length": str(length)})
    assert answer.status == 415
    assert '{"audio": "https://example.com/song.mp3"}' in answer.json()["error"]
    assert answer.headers["accept"] == "application/json"
    assert client.chunks_read == 0


def test_without_a_bucket_a_form_is_told_so_before_any_of_it_is_read():
    client = ApiClient()
    answer = client.generate(b"--x", {"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status == 501
    assert answer.json()["error_code"] == "uploads_off"
    assert "S3_BUCKET_NAME is not set" in answer.json()["error"]
    assert client.chunks_read == 0


def test_who_may_not_submit_is_told_that_first():
    answer = ApiClient().request("POST", "/generate", {"Content-Type": "multipart/form-data"})
    assert answer.status == 401
