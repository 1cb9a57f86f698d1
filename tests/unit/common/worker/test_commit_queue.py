"""Which requests go into one transaction. What would be waited for in vain takes longer than the test may."""

import pytest

from common.kafka.records import Message
from common.worker.commit_queue import CommitQueue
from common.worker.commit_request import CommitRequest
from common.worker.committed_state import Step
from common.worker.lease_table import LeaseTable
from tests.support.common.worker.fakes import InThread, leased, loaded

_ENDLESS_S = 3600.0


@pytest.fixture
def request_of():
    table = LeaseTable(slots=16)
    loaded(table)
    offsets = iter(range(16))
    return lambda step: CommitRequest(step, leased(table, next(offsets)))


def anyone(request: CommitRequest) -> bool:
    return True


def grown(requests: CommitQueue, may_join=anyone) -> list[CommitRequest]:
    """The next batch, once nothing more joins it."""
    batch = requests.next_batch()
    list(requests.rounds(batch, may_join))
    return batch


def test_an_ended_jobs_commit_takes_the_attempt_along_that_follows_it(request_of):
    requests = CommitQueue(8, _ENDLESS_S)
    ended, begun = request_of(Step.FINISH), request_of(Step.BEGIN)
    requests.put(ended)
    batch = requests.next_batch()
    rounds = requests.rounds(batch, anyone)
    next(rounds)
    joining = InThread(next, rounds)
    requests.put(begun)
    joining.result()
    assert batch == [ended, begun]
    assert next(rounds, None) is None


def test_messages_are_given_in_rounds_as_their_requests_join(request_of):
    requests = CommitQueue(8, _ENDLESS_S)
    ended, also_ended, begun = request_of(Step.FINISH), request_of(Step.FINISH), request_of(Step.BEGIN)
    ended.messages, also_ended.messages = [Message("t", b"k", b"1")], [Message("t", b"k", b"2")]
    requests.put(ended)
    rounds = requests.rounds(requests.next_batch(), anyone)
    assert next(rounds) == ended.messages
    requests.put(also_ended)
    assert next(rounds) == also_ended.messages
    requests.put(begun)
    assert next(rounds) == []


def test_an_ended_jobs_commit_that_nothing_follows_does_not_wait_for_long(request_of):
    requests = CommitQueue(8)
    requests.put(ended := request_of(Step.FINISH))
    assert grown(requests) == [ended]


@pytest.mark.parametrize("step", [Step.BEGIN, Step.HAND_BACK])
def test_what_frees_no_slot_waits_for_nothing(request_of, step):
    requests = CommitQueue(8, _ENDLESS_S)
    requests.put(one := request_of(step))
    assert grown(requests) == [one]


def test_what_is_there_is_taken_together_up_to_the_largest_batch(request_of):
    requests = CommitQueue(3, _ENDLESS_S)
    asked = [request_of(step) for step in (Step.BEGIN, Step.FINISH, Step.FINISH, Step.BEGIN)]
    for request in asked:
        requests.put(request)
    assert grown(requests) == asked[:3]
    assert grown(requests) == asked[3:]


def test_no_more_join_than_the_largest_batch_holds(request_of):
    requests = CommitQueue(3, _ENDLESS_S)
    asked = [request_of(Step.FINISH) for _ in range(4)]
    requests.put(asked[0])
    batch = requests.next_batch()
    for request in asked[1:]:
        requests.put(request)
    list(requests.rounds(batch, anyone))
    assert batch == asked[:3]
    assert requests.next_batch() == asked[3:]


def test_what_may_not_join_is_the_first_of_the_next_batch(request_of):
    requests = CommitQueue(8, _ENDLESS_S)
    ended, stranger, behind = (request_of(Step.FINISH) for _ in range(3))
    requests.put(ended)
    batch = requests.next_batch()
    requests.put(stranger)
    requests.put(behind)
    list(requests.rounds(batch, lambda request: request is not stranger))
    assert batch == [ended]
    assert requests.next_batch() == [stranger, behind]


def test_a_closed_queue_gives_what_was_asked_before_then_nothing(request_of):
    requests = CommitQueue(8, _ENDLESS_S)
    requests.put(ended := request_of(Step.FINISH))
    requests.close()
    assert grown(requests) == [ended]
    assert requests.next_batch() == []


def test_a_queue_closed_while_a_transaction_is_open_gives_what_could_not_join_then_nothing(request_of):
    requests = CommitQueue(8, _ENDLESS_S)
    ended, stranger = request_of(Step.FINISH), request_of(Step.FINISH)
    requests.put(ended)
    batch = requests.next_batch()
    requests.put(stranger)
    requests.close()
    list(requests.rounds(batch, lambda request: request is ended))
    assert requests.next_batch() == [stranger]
    assert requests.next_batch() == []
