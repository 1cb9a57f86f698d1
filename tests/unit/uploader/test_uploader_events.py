"""What a receiver is told on the way, and which ends it is not told of."""

from contextlib import ExitStack
from uuid import uuid4

import pytest

from common.outbound.addresses import AddressPolicy, parse_origin
from common.outbound.guarded_session import OutboundNetwork
from common.tasks.messages import HookEvent, State, Status
from tests.support.http_server import CallbackReceiver, stall
from tests.support.uploader.uploader_harness import UploaderHarness
from uploader.hook_events import Event, EventPlanner, EventSender

RUN = uuid4()
BOTH = (HookEvent.STARTED, HookEvent.PROGRESS)


@pytest.fixture
def receiver():
    with CallbackReceiver() as receiver:
        yield receiver


def status(at: float, progress: float, state=State.SEPARATING, events=BOTH, **fields) -> Status:
    given = {"task_uuid": RUN, "submitted_at": 1.0, "state": state, "at": at, "progress": progress}
    return Status(**given | {"hook_url": "https://example.com/hook", "hook_events": events} | fields)


def names(planner: EventPlanner, *statuses: Status) -> list[str]:
    events = [event for one in statuses for event in planner.events_of(one)]
    return [event.webhook_id.removeprefix(f"{RUN}.1.") for event in events]


def test_a_begin_is_told_once_and_progress_by_steps_of_a_tenth_or_ten_seconds():
    planner = EventPlanner()
    queued, begun = status(0.0, 0.0, State.QUEUED), status(1.0, 0.0, State.DOWNLOADING)
    assert names(planner, queued, begun, begun) == ["started"]
    assert names(planner, status(2.0, 0.05), status(3.0, 0.1), status(4.0, 0.15)) == ["progress.10"]
    assert names(planner, status(12.9, 0.16), status(13.0, 0.17), status(30.0, 0.17)) == ["progress.17"]
    assert names(planner, status(31.0, 0.99, State.DELIVERING), status(32.0, 1.0, State.SUCCEEDED)) == []


@pytest.mark.parametrize(
    ("events", "told"),
    [((HookEvent.PROGRESS,), ["progress.50"]), ((HookEvent.STARTED,), ["started"]), (None, []),
     ((HookEvent.FAILED,), [])],
)  # fmt: skip
def test_only_what_is_wanted_is_told(events, told):
    assert names(EventPlanner(), status(1.0, 0.1, events=events), status(2.0, 0.5, events=events)) == told
    assert names(EventPlanner(), status(1.0, 0.1, hook_url=None)) == []


def test_a_receiver_that_hangs_holds_up_no_other(receiver):
    with CallbackReceiver() as hanging:
        hanging.on("/hook", stall())
        trusted = frozenset(parse_origin(one.origin) for one in (receiver, hanging))
        sender = EventSender(OutboundNetwork(AddressPolicy(frozenset({80}), trusted)), (), slots=2)
        sender.start()
        for at in range(1, 4):
            (event,) = EventPlanner().events_of(status(at, 0.1, run=at, hook_url=hanging.hook_url))
            sender.put(event)
        (event,) = EventPlanner().events_of(status(1.0, 0.1, hook_url=receiver.hook_url))
        sender.put(event)
        (request,) = receiver.wait_for_callbacks()
        sender.stop()
    assert request.headers["webhook-id"] == f"{RUN}.1.started"
    assert request.json() == {
        **{"task_uuid": str(RUN), "status": "started", "timestamp": 1.0},
        **{"state": "separating", "progress": 0.1},
    }


def event(user: str, number: int = 1, hook_url: str = "https://example.com/hook") -> Event:
    return Event(hook_url, user, f"{user}.{number}", b"{}")


def test_the_slow_receivers_of_one_user_hold_up_nobody_else(receiver):
    with ExitStack() as stack:
        hanging = [stack.enter_context(CallbackReceiver()) for _ in range(5)]
        for one in hanging:
            one.on("/hook", stall())
        trusted = frozenset(parse_origin(one.origin) for one in (receiver, *hanging))
        sender = EventSender(OutboundNetwork(AddressPolicy(frozenset({80}), trusted)), (), slots=4)
        for number in range(100):
            sender.put(event("mallory", number, hanging[number % 5].hook_url))
        for number in range(4):
            sender.put(event("alice", number, receiver.hook_url))
        sender.start()
        receiver.wait_for_callbacks(4)
        sender.stop()


@pytest.fixture
def idle() -> EventSender:
    """A sender whose threads are not started: the test takes what they would."""
    return EventSender(OutboundNetwork(AddressPolicy(frozenset(), frozenset())), (), slots=4)


def test_users_come_in_turn(idle):
    for number in range(3):
        idle.put(event("mallory", number, f"https://{number}.example.com/hook"))
    idle.put(event("alice"))
    idle.put(event("bob"))
    taken = [idle._next() for _ in range(4)]
    assert [one.user for one in taken] == ["mallory", "alice", "bob", "mallory"]
    assert idle._first_free() is None, "two of four threads are a user's most"
    idle._busy.discard(taken[0].receiver)
    assert idle._first_free().user == "mallory"


def test_where_too_many_wait_the_user_who_has_most_loses_the_oldest(idle):
    idle.put(event("alice"))
    for number in range(1500):
        idle.put(event("mallory", number, f"https://{number}.example.com/hook"))
    idle.put(event("bob"))
    assert {user: len(waiting) for user, waiting in idle._waiting.items()} == {
        "alice": 1,
        "mallory": 998,
        "bob": 1,
    }
    assert next(iter(idle._waiting["mallory"])) == "mallory.502"
    taken = [idle._next() for _ in range(3)]
    assert [one.webhook_id for one in taken] == ["alice.1", "mallory.502", "bob.1"]


@pytest.mark.parametrize("kind", ["success", "failed"])
def test_an_end_that_is_not_wanted_calls_nobody_and_ends_the_task(tmp_path, receiver, kind):
    harness = UploaderHarness(tmp_path, receiver)
    result = harness.staged() if kind == "success" else harness.failed()
    (settled,) = harness.work_out(result.model_copy(update={"hook_events": (HookEvent.CANCELLED,)}))
    assert harness.requests() == []
    assert settled.statuses[-1].state is (State.SUCCEEDED if kind == "success" else State.FAILED)
