"""The outbox: groups of messages, in order, and none that nobody waits for any more."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from kafka.errors import KafkaError

from api.publishing.outbox import NotConfirmed, Outbox
from common.tasks.messages import Task

PATIENCE_S = 20
NEVER_S = 1e9


class Groups:
    """A session that records each group. `send` waits for `may_send`, and raises what `fails` has."""

    def __init__(self) -> None:
        self.groups: list[list[Task]] = [[]]
        self.fails: dict[Task, Exception] = {}
        self.is_sending, self.may_send = threading.Event(), threading.Event()
        self.confirms = True

    def send(self, message, confirmed):
        self.is_sending.set()
        self.may_send.wait(PATIENCE_S)
        if message in self.fails:
            raise self.fails[message]
        self.groups[-1].append(message)
        if self.confirms:
            confirmed(None)

    def flush(self):
        self.groups.append([])

    def probe(self): ...

    def close(self, timeout_s): ...

    @property
    def sent(self) -> list[list[Task]]:
        return [group for group in self.groups if group]


def task() -> Task:
    return Task(task_uuid=uuid4(), audio="https://a.example/a", submitted_at=1.0)


def with_outbox(session: Groups, story: Callable[[Outbox], Awaitable[None]]) -> None:
    async def play() -> None:
        outbox = Outbox(session, asyncio.get_running_loop())
        async with asyncio.timeout(PATIENCE_S):
            await story(outbox)
            session.may_send.set()
            await asyncio.to_thread(outbox.close, PATIENCE_S)

    asyncio.run(play())


def test_messages_that_come_while_a_group_is_on_its_way_are_the_next_group():
    session, first, others = Groups(), task(), [task() for _ in range(5)]

    async def story(outbox):
        results = [outbox.put(first, NEVER_S)]
        await asyncio.to_thread(session.is_sending.wait, PATIENCE_S)
        results += [outbox.put(other, NEVER_S) for other in others]
        session.may_send.set()
        await asyncio.gather(*results)

    with_outbox(session, story)
    assert session.sent == [[first], others]


def test_a_message_that_nobody_waits_for_any_more_is_not_sent():
    session, first, given_up, last = Groups(), task(), task(), task()

    async def story(outbox):
        results = [outbox.put(first, NEVER_S)]
        await asyncio.to_thread(session.is_sending.wait, PATIENCE_S)
        outbox.put(given_up, NEVER_S).cancel()
        results.append(outbox.put(last, NEVER_S))
        session.may_send.set()
        await asyncio.gather(*results)

    with_outbox(session, story)
    assert session.sent == [[first], [last]]


@pytest.mark.parametrize("error", [KafkaError("closed"), RuntimeError("not even Kafka's")])
def test_a_message_that_the_session_refuses_keeps_no_other_back(error):
    session, refused, other = Groups(), task(), task()
    session.may_send.set()
    session.fails[refused] = error

    async def story(outbox):
        refusal, result = outbox.put(refused, NEVER_S), outbox.put(other, NEVER_S)
        with pytest.raises(NotConfirmed, match=str(error)):
            await refusal
        await result

    with_outbox(session, story)
    assert session.sent[0] == [other]


def test_a_close_hands_over_what_was_put_before():
    session, tasks = Groups(), [task() for _ in range(3)]
    session.confirms = False

    async def story(outbox):
        for each in tasks:
            outbox.put(each, NEVER_S)

    with_outbox(session, story)
    assert [each for group in session.sent for each in group] == tasks


def test_confirmations_from_several_threads_all_arrive():
    class FromThreads(Groups):
        def send(self, message, confirmed):
            threading.Thread(target=confirmed, args=(None,)).start()

    async def story(outbox):
        await asyncio.gather(*(outbox.put(task(), NEVER_S) for _ in range(200)))

    with_outbox(FromThreads(), story)


def test_what_is_not_confirmed_in_time_fails_each_at_its_own_time():
    session = Groups()
    session.may_send.set()
    session.confirms = False

    async def story(outbox):
        now_s = asyncio.get_running_loop().time()
        early, late, patient = (outbox.put(task(), now_s + due_s) for due_s in (0.05, 0.1, NEVER_S))
        with pytest.raises(TimeoutError):
            await late
        assert early.done()
        assert isinstance(early.exception(), TimeoutError)
        assert not patient.done()

    with_outbox(session, story)


def test_what_is_confirmed_is_not_kept_until_it_would_be_due():
    session = Groups()
    session.may_send.set()

    async def story(outbox):
        await asyncio.gather(*(outbox.put(task(), NEVER_S) for _ in range(100)))
        assert not outbox._due

    with_outbox(session, story)
