"""KafkaPublisher over sessions that fail in every way: confirmed or refused in time, and replaced."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from api.publishing.publisher import KafkaPublisher, NotSent, PublisherUnavailable
from common.tasks.messages import Task

PATIENCE_S = 20


class FakeSession:
    """`answer` is what each task's confirmation gets: None, an error, "silence", or an error to raise."""

    def __init__(self, answer=None, raises: Exception | None = None):
        self.answer, self.raises = answer, raises
        self.sent: list[Task] = []
        self.confirm_late: list = []
        self.is_sending, self.may_send = threading.Event(), threading.Event()
        self.may_send.set()
        self.probe_error: Exception | None = None
        self.closed = threading.Event()

    def send(self, task, confirmed):
        self.is_sending.set()
        self.may_send.wait(PATIENCE_S)
        self.sent.append(task)
        if self.raises:
            raise self.raises
        if self.answer == "silence":
            self.confirm_late.append(confirmed)
        else:
            # as in life, the broker's ack comes on a thread of the client
            threading.Thread(target=confirmed, args=(self.answer,)).start()

    def flush(self): ...

    def probe(self):
        if self.probe_error:
            raise self.probe_error

    def close(self, timeout_s):
        self.closed.set()


class Connector:
    """Gives the sessions or errors that it was made with, one after another, and then waits."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.calls = 0
        self.ended = threading.Event()

    def __call__(self):
        self.calls += 1
        if not self.outcomes:
            self.ended.wait(PATIENCE_S)
            raise KafkaConnectionError("no more")
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def task() -> Task:
    return Task(
        task_uuid=uuid4(), audio="https://a.example/a", hook_url="https://a.example/h", submitted_at=1.0
    )


def with_publisher(
    connector: Connector,
    story: Callable[[KafkaPublisher], Awaitable[None]],
    ack_timeout_s=PATIENCE_S,
    **options,
) -> None:
    @asynccontextmanager
    async def running():
        publisher = KafkaPublisher(connector, ack_timeout_s, **options)
        await publisher.start()
        try:
            yield publisher
        finally:
            connector.ended.set()
            await publisher.close()

    async def play():
        async with running() as publisher:
            await story(publisher)

    asyncio.run(play())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_confirmed_task_is_published():
    session, mine = FakeSession(), task()

    async def story(publisher):
        await publisher.publish(mine)
        assert publisher.check().ok

    with_publisher(Connector(session), story)
    assert session.sent == [mine]
    assert session.closed.is_set()


def test_nothing_is_published_before_the_confirmation():
    session = FakeSession("silence")

    async def story(publisher):
        publishing = asyncio.create_task(publisher.publish(task()))
        await until(lambda: bool(session.confirm_late))
        assert not publishing.done()
        session.confirm_late[0](None)
        await publishing

    with_publisher(Connector(session), story)


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (FakeSession(KafkaTimeoutError("batch expired")), PublisherUnavailable),
        (FakeSession(RuntimeError("not even Kafka's")), PublisherUnavailable),
        (FakeSession(raises=KafkaError("closed")), NotSent),
    ],
)
def test_a_session_that_gives_a_task_up_is_closed_and_replaced(broken, kind):
    good = FakeSession()

    async def story(publisher):
        with pytest.raises(PublisherUnavailable) as caught:
            await publisher.publish(task())
        assert caught.type is kind
        await publisher.publish(task())

    with_publisher(Connector(broken, good), story)
    assert broken.closed.wait(PATIENCE_S)  # in a thread of its own
    assert len(good.sent) == 1


def test_a_task_that_is_never_confirmed_is_unavailable_and_its_session_replaced():
    silent, good = FakeSession("silence"), FakeSession()

    async def story(publisher):
        with pytest.raises(PublisherUnavailable, match="in time") as caught:
            await publisher.publish(task())
        assert caught.type is PublisherUnavailable
        await until(lambda: publisher.check().ok)
        for confirmed in silent.confirm_late:
            confirmed(None)  # too late, and harmless
        await publisher.publish(task())

    with_publisher(Connector(silent, good), story, ack_timeout_s=0.3)


def test_while_kafka_is_away_publishing_waits_and_then_says_why():
    async def story(publisher):
        await until(lambda: "no route" in publisher.check().detail)
        assert not publisher.check().ok
        with pytest.raises(NotSent, match="no route"):
            await publisher.publish(task())

    with_publisher(Connector(KafkaConnectionError("no route")), story, ack_timeout_s=0.2)


def test_a_task_that_waits_goes_out_when_kafka_comes_back():
    session = FakeSession()

    async def story(publisher):
        await publisher.publish(task())

    with_publisher(Connector(KafkaConnectionError("away"), OSError("no certificate"), session), story)
    assert len(session.sent) == 1


@pytest.mark.parametrize("error", [KafkaConnectionError("gone"), OSError("gone"), RuntimeError("gone")])
def test_a_session_whose_probe_fails_is_not_ready_and_replaced(error):
    failing, good = FakeSession(), FakeSession()
    failing.probe_error = error
    connector = Connector(failing)

    async def story(publisher):
        await until(lambda: "gone" in publisher.check().detail)
        assert not publisher.check().ok
        connector.outcomes.append(good)
        connector.ended.set()
        await until(lambda: publisher.check().ok)
        await publisher.publish(task())

    with_publisher(connector, story, probe_interval_s=0.01)
    assert failing.closed.wait(PATIENCE_S)
    assert len(good.sent) == 1


def test_one_lost_session_is_replaced_once_however_many_tasks_it_fails():
    broken, good = FakeSession(KafkaTimeoutError("expired")), FakeSession()
    connector = Connector(broken, good)

    async def story(publisher):
        await until(lambda: publisher.check().ok)
        results = await asyncio.gather(
            *(publisher.publish(task()) for _ in range(20)), return_exceptions=True
        )
        assert any(isinstance(result, PublisherUnavailable) for result in results)
        await publisher.publish(task())

    with_publisher(connector, story)
    assert connector.calls == 2


def test_the_event_loop_runs_on_while_a_send_blocks():
    session = FakeSession()
    session.may_send.clear()

    async def story(publisher):
        publishing = asyncio.create_task(publisher.publish(task()))
        await until(lambda: publisher.check().ok)
        await asyncio.sleep(0)
        assert not publishing.done()
        session.may_send.set()
        await publishing

    with_publisher(Connector(session), story)


@pytest.mark.parametrize("connects_first", [True, False])
def test_a_task_whose_turn_does_not_come_in_time_is_never_sent(connects_first):
    blocked, good = FakeSession(), FakeSession()
    blocked.may_send.clear()
    first, second = task(), task()
    others = threading.enumerate()  # those of an earlier test may end late

    async def story(publisher):
        if connects_first:
            await until(lambda: publisher.check().ok)
        one = asyncio.create_task(publisher.publish(first))
        await until(blocked.is_sending.is_set)
        senders = [t for t in threading.enumerate() if t.name == "kafka-send" and t not in others]
        two = asyncio.create_task(publisher.publish(second))
        failed = await asyncio.gather(one, two, return_exceptions=True)
        assert [*map(type, failed)] == [PublisherUnavailable, NotSent]
        blocked.may_send.set()
        await until(lambda: not any(thread.is_alive() for thread in senders))

    with_publisher(Connector(blocked, good), story, ack_timeout_s=0.5)
    assert blocked.sent == [first]


def test_no_more_than_so_many_tasks_wait():
    session = FakeSession("silence")

    async def story(publisher):
        waiting = [asyncio.create_task(publisher.publish(task())) for _ in range(3)]
        await until(lambda: len(session.confirm_late) == 3)
        with pytest.raises(NotSent, match="too many"):
            await publisher.publish(task())
        for confirmed in session.confirm_late:
            confirmed(None)
        await asyncio.gather(*waiting)

    with_publisher(Connector(session), story, max_waiting=3)


def test_closing_does_not_wait_for_a_kafka_that_is_away():
    connector = Connector()

    async def story():
        publisher = KafkaPublisher(connector, PATIENCE_S)
        await publisher.start()
        await until(lambda: connector.calls == 1)
        async with asyncio.timeout(PATIENCE_S / 2):
            await publisher.close()

    asyncio.run(story())
    connector.ended.set()
