"""The committer and messages that Kafka never takes."""

import pytest
from kafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
)

from common.kafka.records import Message
from common.kafka.transaction import Unpublishable
from common.worker.commit_request import CommitResult
from tests.support.common.worker.committer_harness import RESULT, Gate
from tests.support.common.worker.fakes import InThread


def refuse_large(message: Message) -> Exception | None:
    return MessageSizeTooLargeError() if len(message.value) > 10 else None


LARGE = Message("results", b"k", b"x" * 11)


def test_a_message_that_the_broker_never_takes_is_refused_and_the_lease_still_holds(harness):
    b = harness(ack=refuse_large)
    lease = b.begun()
    with pytest.raises(Unpublishable, match="MessageSizeTooLarge"):
        b.committer.finish(lease, (LARGE,))
    assert not b.committed.is_done(0)
    assert b.committer.finish(lease, (RESULT,)) is CommitResult.COMMITTED
    assert b.broker.messages == [RESULT]


@pytest.mark.parametrize("error", [MessageSizeTooLargeError(), TypeError("headers")])
def test_a_message_that_the_client_never_sends_is_refused(harness, error):
    b = harness()
    lease = b.begun()
    b.script.next_time(send=error)
    with pytest.raises(Unpublishable):
        b.committer.finish(lease, (RESULT,))
    assert not b.fatal


def test_the_refusal_is_found_behind_the_clients_general_error(harness):
    b = harness(ack=refuse_large)
    lease = b.begun()
    b.script.next_time(offsets=KafkaError("we are in an error state"))
    with pytest.raises(Unpublishable):
        b.committer.finish(lease, (LARGE,))


def test_a_refused_message_does_not_stop_the_jobs_that_shared_its_transaction(harness):
    gate = Gate(closed=False)
    b = harness(gate, ack=refuse_large)
    leases = [b.begun(offset) for offset in range(4)]
    gate.close()
    first = InThread(b.committer.finish, leases[0], (RESULT,))
    assert gate.reached.wait(10)
    asked = [InThread(b.committer.finish, leases[n], (m,)) for n, m in ((1, RESULT), (2, LARGE), (3, RESULT))]
    b.wait_for_requests(3)
    gate.open()
    assert [one.result() for one in (first, asked[0], asked[2])] == [CommitResult.COMMITTED] * 3
    with pytest.raises(Unpublishable):
        asked[1].result()
    assert b.broker.messages == [RESULT] * 3
    assert [b.committed.is_done(n) for n in range(4)] == [True, True, False, True]
