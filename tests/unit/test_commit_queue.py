"""Which requests go into one transaction. What would be waited for in vain takes longer than the test may."""

import pytest

from common.commit_queue import CommitQueue
from common.commit_request import CommitRequest
from common.lease import LeaseTable
from common.progress import Step
from tests.support.fakes import InThread, leased, loaded
from tests.support.waiting import wait_for

_ENDLESS_S = 3600.0


@pytest.fixture
def request_of():
    table = LeaseTable(slots=16)
    loaded(table)
    offsets = iter(range(16))
    return lambda step: CommitRequest(step, leased(table, next(offsets)))


def test_an_ended_jobs_commit_takes_the_attempt_along_that_follows_it(request_of):
    requests = CommitQueue(8, _ENDLESS_S)
    ended, begun = request_of(Step.FINISH), request_of(Step.BEGIN)
    requests.put(ended)
    reading = InThread(requests.next_batch)
    wait_for(lambda: not len(requests), 10, "the first request read")
    requests.put(begun)
    assert reading.result() == [ended, begun]


def test_an_ended_jobs_commit_that_nothing_follows_does_not_wait_for_long(request_of):
    requests = CommitQueue(8)
    requests.put(ended := request_of(Step.FINISH))
    assert requests.next_batch() == [ended]


@pytest.mark.parametrize("step", [Step.BEGIN, Step.HAND_BACK])
def test_what_frees_no_slot_waits_for_nothing(request_of, step):
    requests = CommitQueue(8, _ENDLESS_S)
    requests.put(one := request_of(step))
    assert requests.next_batch() == [one]


def test_what_is_there_is_taken_together_up_to_the_largest_batch(request_of):
    requests = CommitQueue(3, _ENDLESS_S)
    asked = [request_of(step) for step in (Step.BEGIN, Step.FINISH, Step.FINISH, Step.BEGIN)]
    for request in asked:
        requests.put(request)
    assert requests.next_batch() == asked[:3]
    assert requests.next_batch() == asked[3:]


def test_a_closed_queue_gives_what_was_asked_before_then_nothing(request_of):
    requests = CommitQueue(8, _ENDLESS_S)
    requests.put(ended := request_of(Step.FINISH))
    requests.close()
    assert requests.next_batch() == [ended]
    assert requests.next_batch() is None
