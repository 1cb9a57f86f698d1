"""What the processors offer together, and what a submission is told that asks for something else."""

import time

import pytest

from api.view.merge import of_task
from tests.support.api.announcements import model, preset, worker
from tests.support.api.api_client import SONG, ApiClient, basic
from tests.support.api.stored_view import StoredView

ADMIN = basic("admin", "password")
GPU = "cuda NVIDIA H100"


@pytest.fixture
def client() -> ApiClient:
    return ApiClient()


def ask(client: ApiClient, path: str, user=ADMIN) -> dict:
    answer = client.request("GET", path, user)
    assert answer.status == 200, answer
    return answer.json()


@pytest.mark.parametrize("path", ["/models", "/presets", "/workers"])
def test_nobody_has_announced_anything(client, path):
    assert ask(client, path) == {path[1:]: []}
    assert client.request("GET", path).status == 401
    behind = ApiClient(view=StoredView(caught_up=False)).request("GET", path, ADMIN)
    assert (behind.status, "retry-after" in behind.headers) == (503, True)


def test_a_model_is_listed_once_with_what_each_worker_says_of_it(client):
    scores = {"vocals": 8.8}
    client.view.tell(
        worker("slow", models=(model("B"), model("A", speed=2.0, license="MIT"))),
        worker("quick", models=(model("A", speed=30.0, is_warm=True, scores=scores),), device=GPU),
        worker("quicker", models=(model("A", speed=40.0, is_warm=True),), device=GPU, default_model="B"),
        worker("gone", time.time() - 200, models=(model("C"),)),
        worker("stopped", models=(model("D"),), stopped=True),
    )
    a, b = ask(client, "/models")["models"]
    assert a == {
        "name": "A",
        "architecture": "MDX",
        "stems": ["vocals", "instrumental"],
        "license": "MIT",
        "scores": scores,
        "is_default": True,
        "speed": 40.0,
        "devices": [
            {"device": "cpu", "workers": 1, "speed": 2.0},
            {"device": GPU, "workers": 2, "speed": 40.0},
        ],
        "workers": 3,
        "warm_on": 2,
    }
    assert (b["name"], b["is_default"], "speed" in b, b["warm_on"]) == ("B", False, False, 0)


def test_presets_and_workers_are_listed_by_name(client):
    client.view.tell(worker("b", presets=(preset("fast", speed=9.0), preset("best", speed=1.0))), worker("a"))
    best, fast = ask(client, "/presets")["presets"]
    assert (best["name"], best["speed"], best["workers"]) == ("best", 1.0, 2)
    assert fast["steps"] == [{"models": ["A"], "on": "mix", "stems": ["vocals", "instrumental"]}]
    first, second = ask(client, "/workers")["workers"]
    assert (first["worker_id"], second["worker_id"], second["presets"]) == ("a", "b", ["best", "fast"])
    assert (first["models"], first["default_model"], first["slots"]) == (["A", "B"], "A", 2)


def test_the_processors_are_shown_to_administrators_where_there_are_any(three_users):
    client = ApiClient(basic_auth_users_file=three_users, admin_usernames="root")
    assert client.request("GET", "/workers", basic("root", "password")).status == 200
    refused = client.request("GET", "/workers", basic("alice", "password"))
    assert (refused.status, refused.json()["error_code"]) == (403, "not_an_admin")
    assert client.request("GET", "/models", basic("alice", "password")).status == 200


UNKNOWN = [
    ({"model": "C"}, "model_unknown", "model: no processor has C; there are "),
    ({"models": ["A", "b"]}, "model_unknown", "models.1: no processor has b; there are B, A"),
    ({"preset": "bets"}, "preset_unknown", "preset: no processor offers bets; there is best"),
    ({"stems": ["drums"]}, "stem_unknown", "stems.0: the default model gives no drums; there are "),
    (
        {"model": "B", "stems": ["bass", "drum"]},
        "stem_unknown",
        "stems.1: B gives no drum; there are drums, ",
    ),
    ({"preset": "best", "stems": ["bass"]}, "stem_unknown", "stems.0: the preset best gives no bass"),
]


@pytest.mark.parametrize(("fields", "code", "told"), UNKNOWN)
def test_what_no_processor_has_is_refused_with_what_there_is(client, fields, code, told):
    assert client.generate(SONG | fields).status == 200, "nothing is announced: the processor judges"
    client.view.tell(worker("stopped", stopped=True), worker("gone", time.time() - 200))
    assert client.generate(SONG | fields).status == 200
    client.view.tell(worker())
    answer = client.generate(SONG | fields)
    assert (answer.status, answer.json()["error_code"]) == (400, code)
    assert answer.json()["error"].startswith(told)
    assert len(client.publisher.tasks) == 2


@pytest.mark.parametrize(
    "fields",
    [{}, {"model": "B", "stems": ["drums"]}, {"stems": ["vocals"]}, {"preset": "best", "stems": ["vocals"]},
     {"models": ["A.onnx", "B"], "stems": ["instrumental"]}, {"model": "B.ckpt"},
     {"output": {"format": "mp3"}}],
)  # fmt: skip
def test_what_one_processor_has_is_taken(client, fields):
    client.view.tell(worker("a", models=(model("A"),), presets=()), worker("b"))
    assert client.generate(SONG | fields).status == 200


def test_a_models_name_may_lack_the_extension_of_its_file_everywhere(client):
    client.view.tell(
        worker("a", models=(model("A.onnx", speed=1.0),), default_model="A"),
        worker("b", models=(model("A", speed=2.0), model("C.ckpt", stems=()))),
    )
    a, c = ask(client, "/models")["models"]
    assert (a["name"], a["workers"], a["is_default"], c["name"]) == ("A.onnx", 2, True, "C.ckpt")
    for name in ("A", "A.onnx", "C", "C.ckpt"):
        assert client.generate(SONG | {"model": name}).status == 200
    # A stem is not refused where the processor does not say which ones the model gives.
    assert client.generate(SONG | {"model": "C", "stems": ["bass"]}).status == 200
    assert client.generate(SONG | {"model": "C.yml"}).status == 400


def test_a_view_that_is_behind_refuses_nothing():
    client = ApiClient(view=StoredView(caught_up=False))
    client.view.tell(worker())
    assert client.generate(SONG | {"model": "C"}).status == 200


def test_a_repeat_of_a_known_key_is_never_refused_for_what_has_gone(client):
    key, body = {"Idempotency-Key": "a"}, SONG | {"preset": "best"}
    client.view.tell(worker())
    first = client.generate(body, key).json()
    client.view.tell(of_task(client.publisher.tasks[0]), worker(presets=()))
    assert client.generate(body, key).json() == first
    assert client.generate(body).json()["error_code"] == "preset_unknown"


def test_the_list_of_what_there_is_is_short_and_begins_with_the_likest(client):
    names = [f"UVR-MDX-NET-Inst_{number}" for number in range(500)]
    client.view.tell(worker(models=tuple(model(name) for name in names), default_model=names[0]))
    error = client.generate(SONG | {"model": "UVR-MDX-NET-Inst_33x"}).json()["error"]
    assert error.startswith("model: no processor has UVR-MDX-NET-Inst_33x; there are UVR-MDX-NET-Inst_33")
    assert error.endswith(" and 490 more")
    assert len(error) < 500
