"""Failures that a later try will hardly mend are reported at once and given up within a minute."""

import json
import socket
from collections.abc import Sequence
from dataclasses import replace

import pytest

from common.errors import ErrorCode, JobError, TransientError, UnlikelyError
from common.jobs import dead_letters, retry
from common.jobs.outcome import Failed
from common.jobs.retry import RetryPolicy, RetrySchedule, brief_schedule
from common.jobs.settlement import JobRules, Settlement
from common.kafka import retry_topics
from common.kafka.records import Record
from common.outbound.addresses import AddressPolicy
from common.outbound.guarded_session import OutboundNetwork
from common.tasks.messages import Redelivery, SeparationFailed, State, decode_result
from tests.support.common.worker.fakes import FakeContext, record, run
from tests.support.http_server import CallbackReceiver, ScriptedServer
from tests.support.processor.processor_harness import ProcessorHarness
from tests.support.uploader.uploader_harness import Settled, UploaderHarness, as_record
from tests.support.uploader.uploader_harness import record as result_record

pytestmark = pytest.mark.network

DELAYS_S = (30, 300, 3600)
JOB = RetrySchedule("job", 3, resets=(retry.BRIEF,))
POLICY = RetryPolicy("tasks", DELAYS_S)
UNLIKELY = UnlikelyError(ErrorCode.ADDRESS_BLOCKED, "no such name")
AWAY = TransientError(ErrorCode.NETWORK_ERROR, "reset")


def again(given: Record, error: TransientError, schedule: RetrySchedule, policy=POLICY) -> Record:
    """The record as it is read from the topic where it has waited."""
    return as_record(policy.next_try(given, error, schedule, 0.0).waiting)


def delay_s_of(
    policy: RetryPolicy, given: Record, error: TransientError, schedule: RetrySchedule
) -> int | None:
    """Returns the seconds until the next try; None when there is none."""
    next_try = policy.next_try(given, error, schedule, 0.0)
    return None if next_try is None else int(next_try.at)


class TestTheSchedule:
    def test_three_tries_are_over_within_a_minute(self):
        given, waits = record(0), []
        while (delay_s := delay_s_of(POLICY, given, UNLIKELY, brief_schedule(JOB))) is not None:
            waits.append(delay_s)
            given = again(given, UNLIKELY, brief_schedule(JOB))
            assert given.topic == f"tasks_retry_{delay_s}s"
        assert waits == [20, 20]
        assert sum(waits) < 60

    @pytest.mark.parametrize(
        ("delays_s", "waits"), [((1, 2), [1, 1]), ((20,), [20, 20]), ((3600,), [20, 20])]
    )
    def test_no_wait_is_longer_than_the_first_of_the_others(self, delays_s, waits):
        policy, given, found = RetryPolicy("tasks", delays_s), record(0), []
        while (delay_s := delay_s_of(policy, given, UNLIKELY, brief_schedule(JOB))) is not None:
            found.append(delay_s)
            given = again(given, UNLIKELY, brief_schedule(JOB), policy)
            assert policy.is_for_later(given.topic)
            assert given.topic in retry_topics.topics("tasks", retry_topics.with_brief(delays_s))
            assert given.topic in retry_topics.family("tasks", [given.topic])
        assert found == waits

    @pytest.mark.parametrize(("retries", "tries"), [(0, 0), (1, 1), (2, 2), (26, 2)])
    def test_it_has_no_more_tries_than_the_others(self, retries, tries):
        assert brief_schedule(RetrySchedule("callback", retries)).retries == tries

    def test_its_tries_are_tries_of_the_others_too(self):
        given = again(record(0), UNLIKELY, brief_schedule(JOB))
        assert retry.history(given).failed_tries == {"brief": 1, "job": 1}
        given = again(given, UNLIKELY, brief_schedule(JOB))
        assert retry.history(given).failed_tries == {"brief": 2, "job": 2}

    def test_another_failure_between_begins_it_anew_and_the_whole_has_an_end(self):
        given = again(again(record(0), UNLIKELY, brief_schedule(JOB)), AWAY, JOB)
        assert retry.history(given).failed_tries == {"job": 2}
        assert delay_s_of(POLICY, given, UNLIKELY, brief_schedule(JOB)) == 20
        given = again(given, UNLIKELY, brief_schedule(JOB))
        assert delay_s_of(POLICY, given, AWAY, JOB) is None

    def test_it_resets_what_the_others_reset(self):
        callback = RetrySchedule("callback", 26, resets=("job", retry.BRIEF))
        given = again(again(record(0), AWAY, JOB), UNLIKELY, brief_schedule(callback))
        assert retry.history(given).failed_tries == {"brief": 1, "callback": 1}


def answering(answer) -> OutboundNetwork:
    def resolve(host: str, port: int) -> Sequence[str]:
        if isinstance(answer, OSError):
            raise answer
        return answer

    return OutboundNetwork(AddressPolicy(frozenset({80, 443})), resolve, refusal_step_s=0)


NO_SUCH_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
RESOLVER_AWAY = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
REFUSED_NAMES = [NO_SUCH_NAME, ["10.0.0.1"]]


class TestATask:
    @pytest.fixture
    def harness(self, tmp_path):
        with ScriptedServer() as server:
            yield ProcessorHarness(tmp_path, server)

    def tries(self, harness: ProcessorHarness, url: str) -> list[Settled]:
        """Every try of a task, as the worker settles it."""
        handler, given, tries = harness.handler(), harness.record(), []
        task = json.loads(given.value) | {"audio": url}
        given = replace(given, value=json.dumps(task).encode())
        while given is not None:
            with pytest.raises(JobError) as caught:
                run(handler, given, FakeContext())
            rules = JobRules("dead", 3, RetryPolicy("tasks", DELAYS_S), lambda: 0.0)
            settlement = Settlement(given, handler, FakeContext(), rules, "the task")
            tries.append(Settled(settlement.settle(Failed(caught.value))))
            waiting = [m for m in tries[-1].done.messages if m.topic.startswith("tasks")]
            given = as_record(waiting[0]) if waiting else None
            assert len(tries) < 10
        return tries

    @pytest.mark.parametrize("answer", REFUSED_NAMES, ids=str)
    def test_a_name_that_leads_nowhere_is_told_at_once_and_given_up_after_three(self, harness, answer):
        harness.network = answering(answer)
        tries = self.tries(harness, "http://nobody.test/song.wav")
        assert len(tries) == 3
        for number, settled in enumerate(tries[:2], 1):
            (status,) = settled.statuses
            assert (status.state, status.next_try_at) == (State.QUEUED, 20.0)
            assert status.error_code == "address_blocked"
            assert "nobody.test does not exist" in status.error_message
            assert status.tries == (number,)
        failed = decode_result(tries[-1].of("results")[0].value)
        assert isinstance(failed, SeparationFailed)
        assert failed.error_code == "address_blocked"
        (letter,) = tries[-1].letters
        assert dict(letter.headers)[retry.TRIES] == b'{"brief":3,"job":3}'

    def test_neither_name_is_told_from_the_other_by_anything(self, harness):
        published = []
        for answer in REFUSED_NAMES:
            harness.network = answering(answer)
            tries = self.tries(harness, "http://nobody.test/song.wav")
            published.append([[m for m in settled.done.messages if m.topic != "dead"] for settled in tries])
        first, second = (repr(one) for one in published)
        assert first == second

    def test_a_resolver_that_is_away_keeps_the_usual_delays(self, harness):
        harness.network = answering(RESOLVER_AWAY)
        tries = self.tries(harness, "http://nobody.test/song.wav")
        waits = [settled.statuses[0].next_try_at for settled in tries[:-1]]
        assert waits == [30.0, 300.0, 3600.0]


class TestACallback:
    @pytest.fixture
    def harness(self, tmp_path):
        with CallbackReceiver() as receiver:
            yield UploaderHarness(tmp_path, receiver, callback_retries=26)

    def work_out(self, harness: UploaderHarness, answer) -> list[Settled]:
        harness.network = answering(answer)
        harness.handler = harness.new_handler()
        given = result_record(harness.failed())
        hook = json.loads(given.value) | {"hook_url": "http://nobody.test/hook"}
        return harness.work_out(replace(given, value=json.dumps(hook).encode()))

    @pytest.mark.parametrize("answer", REFUSED_NAMES, ids=str)
    def test_a_name_that_leads_nowhere_is_told_at_once_and_given_up_after_three(self, harness, answer):
        tries = self.work_out(harness, answer)
        deliveries = [delivery for settled in tries for delivery in settled.deliveries]
        assert [d.next_try_at for d in deliveries] == [99.0 + 20, 99.0 + 20, None]
        assert [d.try_number for d in deliveries] == [1, 2, 3]
        assert {(d.error_code, d.status) for d in deliveries} == {("address_blocked", None)}
        statuses = [status for settled in tries for status in settled.statuses]
        assert statuses[0].error_code == "http_error", "the task's own end"
        (letter,) = tries[-1].letters
        assert dict(letter.headers)[dead_letters.ERROR_CODE] == b"address_blocked"
        assert dict(letter.headers)[retry.TRIES] == b'{"brief":3,"callback":3}'

    def test_neither_name_is_told_from_the_other_by_anything(self, harness):
        published = []
        for answer in REFUSED_NAMES:
            tries = self.work_out(harness, answer)
            published.append([[m for m in settled.done.messages if m.topic != "dead"] for settled in tries])
        first, second = (repr(one) for one in published)
        assert first == second

    def test_a_resolver_that_is_away_keeps_the_usual_delays(self, harness):
        tries = self.work_out(harness, RESOLVER_AWAY)
        assert len(tries) == 27

    def test_a_redelivery_is_given_up_as_soon(self, harness):
        harness.network = answering(NO_SUCH_NAME)
        harness.handler = harness.new_handler()
        ended = harness.failed()
        asked = Redelivery(
            task_uuid=ended.task_uuid,
            hook_url="http://nobody.test/hook",
            run=1,
            requested_at=5.0,
            failure=None,
        )
        harness.storage.objects[f"out/{ended.task_uuid}/1/manifest.json"] = b"{}"
        tries = harness.work_out(result_record(asked))
        deliveries = [delivery for settled in tries for delivery in settled.deliveries]
        assert [d.next_try_at for d in deliveries] == [99.0 + 20, 99.0 + 20, None]
