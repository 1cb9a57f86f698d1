"""A replay that another replay has fenced says so, in whatever words its client puts that."""

import pytest
from kafka.errors import IllegalStateError, InvalidProducerEpochError, KafkaConnectionError, KafkaError

from common.deadletter import replayer
from common.deadletter.replayer import Overtaken


@pytest.mark.parametrize(
    "error",
    [
        InvalidProducerEpochError(),
        KafkaError("Cannot execute because we are in an error state: ProducerFencedError"),
        IllegalStateError("Cannot call send in state READY"),
    ],
    ids=["the broker's refusal", "what the client remembers of it", "a new epoch without a transaction"],
)
def test_a_fenced_replay_was_overtaken(error):
    with pytest.raises(Overtaken), replayer._overtaken_when_fenced():
        raise error


def test_a_lost_broker_is_no_other_replay():
    with pytest.raises(KafkaConnectionError), replayer._overtaken_when_fenced():
        raise KafkaConnectionError()
