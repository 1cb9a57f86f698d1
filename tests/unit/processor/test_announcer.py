"""A processor announces its models and presets, again when other models are warm, and that it has stopped."""

import threading

from common.kafka.records import Message
from common.tasks.messages import decode_worker_seen
from processor.announcer import Announcer, Identity
from processor.engine.protocol import Installed
from processor.presets import schema
from processor.presets.recipe import Recipes
from processor.presets.schema import Preset
from tests.support.waiting import wait_for

ROFORMER = "model_bs_roformer_ep_317_sdr_12.9755"


class FakeRoom:
    device = "2 cores of a CPU"

    def __init__(self, *models: str):
        self.warm: tuple[str, ...] = models[:1]
        self.installed = tuple(
            Installed(name, "MDXC", ("vocals", "instrumental"), "0" * 64, "torch", "fp32", 4.0)
            for name in models
        )


class ListOutbox:
    def __init__(self) -> None:
        self.messages: list[Message] = []

    def put(self, job: object, message: Message) -> None:
        self.messages.append(message)

    def drop(self, job: object) -> None: ...


def announcer(room: FakeRoom, presets, outbox: ListOutbox | None = None) -> Announcer:
    models = [model.name for model in room.installed]
    identity = Identity("p1", "uvr_models", 2, lambda: 1)
    return Announcer(identity, room, Recipes(models, presets), outbox or ListOutbox(), lambda: 5.0)


def test_the_announcement_has_what_users_choose_from():
    presets = schema.read(schema.product_file())
    seen = announcer(FakeRoom("spleeter-2stems", ROFORMER), presets).seen()
    assert (seen.worker_id, seen.default_model, seen.slots, seen.running) == ("p1", "spleeter-2stems", 2, 1)
    assert (seen.at, seen.stopped, seen.device) == (5.0, False, "2 cores of a CPU")
    spleeter, roformer = seen.models
    assert (spleeter.is_warm, spleeter.scores, spleeter.speed) == (True, {}, 4.0)
    assert (roformer.is_warm, roformer.stems) == (False, ("vocals", "instrumental"))
    assert roformer.scores["vocals"] > 11
    (balanced,) = seen.presets
    assert (balanced.name, balanced.steps[0].models, balanced.speed) == ("balanced", (ROFORMER,), 4.0)


def test_the_speed_of_a_preset_is_that_of_its_models_one_after_another():
    step = {"models": ["a", "b"], "stems": ["vocals"]}
    presets = {"two": Preset.model_validate({"description": "x", "steps": [step]})}
    (preset,) = announcer(FakeRoom("a", "b"), presets).seen().presets
    assert preset.speed == 2.0


def test_the_announcement_stays_below_500_kb():
    models = [f"model-{number}".ljust(190, "x") for number in range(500)]
    step = {"models": models[:5], "stems": [f"stem{number}" for number in range(10)]}
    preset = Preset.model_validate({"description": "x" * 500, "steps": 4 * [step]})
    presets = {f"preset-{number}": preset for number in range(200)}
    seen = announcer(FakeRoom(*models), presets).seen()
    assert 400_000 < len(seen.to_bytes()) <= 500_000
    assert len(seen.models) == 500


def test_it_announces_at_the_start_and_at_an_end_in_good_order():
    outbox = ListOutbox()
    announcing = announcer(FakeRoom("a"), {}, outbox)
    announcing.start()
    wait_for(lambda: outbox.messages, 10, "the first announcement")
    announcing.stop(in_good_order=True)
    seen = [decode_worker_seen(message.value) for message in outbox.messages]
    assert [each.stopped for each in seen] == [False] * (len(seen) - 1) + [True]
    assert {(message.topic, message.key) for message in outbox.messages} == {("uvr_models", b"p1")}


def test_one_that_never_was_ready_or_ends_badly_does_not_say_that_it_has_stopped():
    outbox = ListOutbox()
    announcer(FakeRoom("a"), {}, outbox).stop(in_good_order=True)
    assert not outbox.messages
    announcing = announcer(FakeRoom("a"), {}, outbox)
    announcing.start()
    wait_for(lambda: outbox.messages, 10, "the first announcement")
    announcing.stop(in_good_order=False)
    assert not any(decode_worker_seen(message.value).stopped for message in outbox.messages)
    assert "announcer" not in {thread.name for thread in threading.enumerate()}
