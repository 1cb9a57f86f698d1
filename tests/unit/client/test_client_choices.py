"""Tests what `uvr submit`, `list`, `models` and `presets` make of choices, against the real api's code."""

import pytest
from pydantic import BaseModel

from common.tasks.messages import Choices as ApiChoices
from common.tasks.messages import Output
from tests.support.api.announcements import model, preset, worker
from tests.support.api.api_client import SONG
from tests.support.api.api_server import api_server
from tests.support.client.fake_api import answer, problem, task
from tests.support.client.impatient import objects
from uvr_client import BadRequest, Choices, UvrClient
from uvr_client.exits import Exit

pytestmark = pytest.mark.network

AUDIO = SONG["audio"]


@pytest.fixture(scope="module")
def api():
    with api_server() as server:
        server.view.tell(worker(presets=(preset("best", speed=2.5),), models=(model("A", is_warm=True),)))
        yield server


@pytest.fixture
def client(api):
    with UvrClient(api.url, "admin", "password") as client:
        yield client


def names(kind: type[BaseModel]) -> set[str]:
    return set(kind.model_fields)


def test_the_client_knows_every_choice_of_the_api():
    named = {"label", "metadata", "cache", "priority"}
    assert set(Choices.__annotations__) == (names(ApiChoices) - {"output"}) | names(Output) | named


def test_a_choice_comes_back_with_its_task(api, client):
    chosen = {"preset": "best", "stems": ["vocals"], "label": "Ä", "metadata": {"order": 17, "nothing": None}}
    chosen["priority"] = 4
    task = client.status(client.submit(AUDIO, **chosen).task_uuid)
    assert (task.label, task.metadata) == (chosen["label"], chosen["metadata"])
    assert task.priority == 4
    assert task.choices == {"preset": "best", "stems": ["vocals"]}
    assert [found.task_uuid for found in client.list(label="Ä", limit=1)] == [task.task_uuid]


def test_what_there_is_not_is_told_with_what_there_is(client):
    with pytest.raises(BadRequest, match="preset: no processor offers bst; there is best") as caught:
        client.submit(AUDIO, preset="bst")
    assert caught.value.error_code == "preset_unknown"


def test_models_and_presets_are_listed(client):
    (found,) = client.models()
    assert (found.name, found.stems, found.is_default, found.warm_on) == (
        "A",
        ("vocals", "instrumental"),
        True,
        1,
    )
    (best,) = client.presets()
    assert (best.name, best.speed, best.devices[0].device) == ("best", 2.5, "cpu")


def test_each_option_of_the_command_is_a_field_of_the_submission(fake_api, uvr):
    fake_api.takes_submissions(task())
    result = uvr(
        *("submit", AUDIO, "--models", "A, B", "--ensemble", "avg_fft", "--weights", "1,0.5"),
        *("--stems", "vocals,drums", "--format", "mp3", "--sample-rate", "48000", "--bitrate", "192"),
        *("--normalize", "lufs:-14", "--tags", "keep", "--start", "30", "--duration", "12.5"),
        *("--label", "Artist - Title", "--meta", "order=17", "--meta", "note=a=b"),
    )
    assert result.exit_code == 0
    assert fake_api.requests("/generate")[0].json() == {
        "audio": AUDIO,
        "models": ["A", "B"],
        "ensemble": "avg_fft",
        "weights": [1.0, 0.5],
        "stems": ["vocals", "drums"],
        "output": {
            "format": "mp3",
            "sample_rate": 48000,
            "bitrate_kbps": 192,
            "normalize": "lufs:-14",
            "tags": "keep",
        },
        "start_s": 30.0,
        "duration_s": 12.5,
        "label": "Artist - Title",
        "metadata": {"order": "17", "note": "a=b"},
    }
    uvr("submit", AUDIO, "--preset", "best", "--bit-depth", "24", "--sample-rate", "source")
    assert fake_api.requests("/generate")[1].json() == {
        "audio": AUDIO,
        "preset": "best",
        "output": {"bit_depth": 24, "sample_rate": "source"},
    }


@pytest.mark.parametrize(
    "options",
    [["--meta", "order"], ["--meta", "=1"], ["--meta", "a=1", "--meta", "a=2"], ["--weights", "1,x"]],
)
def test_an_option_in_the_wrong_form_is_wrong_usage(fake_api, uvr, options):
    assert uvr("submit", AUDIO, *options).exit_code == Exit.USAGE
    assert fake_api.requests() == []


def test_the_command_lists_models_and_presets(fake_api, uvr):
    assert fake_api.on("/models", answer(200, {"models": []}))
    assert uvr("models").stderr == "no processor has announced a model\n"
    assert fake_api.on("/presets", answer(200, {"presets": []}))
    assert "the operator installs the models of one by MODELS" in uvr("presets").stderr
    a = {"name": "A", "architecture": "MDX", "stems": ["vocals", "instrumental"], "license": "MIT"}
    on_cpu = {"device": "cpu", "workers": 1, "speed": 35.04}
    fake_api.on(
        "/models", answer(200, {"models": [a | {"is_default": True, "speed": 35.04, "devices": [on_cpu]}]})
    )
    header, line = uvr("models").stdout.splitlines()
    assert header.split() == ["model", "stems", "speed", "devices", "architecture", "license"]
    assert " ".join(line.split()) == "A (default) vocals, instrumental 35 × cpu 35 × MDX MIT"
    best = {
        "name": "best",
        "description": "the b\u202eest",
        "stems": ["vocals"],
        "steps": [{"models": ["A"]}],
    }
    fake_api.on("/presets", answer(200, {"presets": [best]}))
    assert "best    vocals" in uvr("presets").stdout
    assert "\u202e" not in uvr("presets").stdout
    (found,) = objects(uvr("presets", "--json"))
    assert found["steps"] == [{"models": ["A"]}]


def test_the_command_tells_what_there_is_and_shows_labels(fake_api, uvr):
    fake_api.on("/generate", problem(400, "preset: no processor offers bst; there is best"))
    result = uvr("submit", AUDIO, "--preset", "bst")
    assert result.exit_code == Exit.BAD_REQUEST
    assert result.stderr == f"error: {AUDIO}: preset: no processor offers bst; there is best\n"
    status = task(label="a\nb", choices={"preset": "best"}, metadata={"order": "17"}, audio=AUDIO)
    fake_api.on("/tasks", answer(200, {"tasks": [status]}))
    assert "a\\nb" in uvr("list", "--label", "a").stdout
    assert fake_api.requests("/tasks")[0].target == "/tasks?label=a&limit=50"
    shown = uvr("status", fake_api.add(status)).stdout
    assert "label         a\\nb\n" in shown
    assert 'chosen        {"preset": "best"}\n' in shown
    assert 'metadata      {"order": "17"}\n' in shown
