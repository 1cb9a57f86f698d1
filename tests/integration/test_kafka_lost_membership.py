"""Row 21 of KAFKA_CONSUMER.md: a member falls out of its group while it is joining again."""

from common.kafka.guarded_consumer import Listener
from tests.support.common.kafka.group import Lab
from tests.support.common.kafka.members import member
from tests.support.waiting import wait_for


class Noted:
    def __init__(self):
        self.events: list[tuple[str, set]] = []

    def listener(self) -> Listener:
        return Listener(
            lambda found: self.events.append(("assigned", set(found))),
            lambda found: self.events.append(("revoked", set(found))),
            lambda found: self.events.append(("lost", set(found))),
        )


def test_who_falls_out_while_it_rejoins_is_told_what_it_lost_and_all_that_it_gets(lab: Lab, closing):
    consumer, noted = closing(member(lab)), Noted()
    consumer.subscribe([lab.settings.kafka_task_topic], listener=noted.listener())
    everything = {lab.partition(n) for n in range(lab.partition_count)}
    wait_for(lambda: consumer.poll(100) or ("assigned", everything) in noted.events, 30, "all partitions")
    noted.events.clear()
    # As a thaw does it: the join that was under way ends with a member id that the broker knows no more.
    coordinator = consumer._coordinator
    coordinator.rejoining = True
    coordinator.reset_generation()
    coordinator.request_rejoin()
    assert noted.events == [("lost", everything)]
    wait_for(lambda: consumer.poll(100) or len(noted.events) > 1, 60, "the next assignment")
    assert noted.events[1] == ("assigned", everything)
