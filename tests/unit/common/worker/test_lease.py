"""Leases: who may work on which record, through gaps, rebalances, put-backs and drains."""

from kafka.structs import OffsetAndMetadata

from common.worker.committed_state import CommittedState, Step
from common.worker.lease import MOST_READY, Lease, NotLeased
from common.worker.lease_table import LeaseTable
from tests.support.common.worker.fakes import admitted, leased, loaded, partition, record


def commit(table: LeaseTable, begin=(), finish=()) -> dict:
    """As the committer does it; what would be at the broker, by partition."""
    steps = [*((Step.BEGIN, lease) for lease in begin), *((Step.FINISH, lease) for lease in finish)]
    states = table.proposed(steps)
    table.apply(steps)
    return {assignment.partition: state for assignment, state in states.items()}


def finish(table: LeaseTable, lease: Lease) -> CommittedState:
    (state,) = commit(table, finish=[lease]).values()
    table.end(lease)
    return state


# Taking


def test_a_record_is_leased_once():
    table = LeaseTable(slots=4)
    loaded(table)
    lease = leased(table, 0)
    assert lease.live
    assert table.running_count == 1
    assert table.admit(record(0)) is NotLeased.ALREADY_DONE


def test_what_is_done_is_not_leased_again():
    table = LeaseTable(slots=4)
    loaded(table, committed=CommittedState(20, {18: 1}).encode())
    assert leased(table, 18)
    assert table.admit(record(19)) is NotLeased.ALREADY_DONE
    assert leased(table, 20)


def test_with_all_slots_taken_records_are_read_and_wait_for_a_slot():
    table = LeaseTable(slots=1)
    loaded(table)
    loaded(table, 1)
    lease = leased(table, 0)
    assert table.slots_full
    second = admitted(table, 1)
    assert not table.begin(second)
    assert table.wanted({partition(0), partition(1)}).paused == set()
    assert (table.running_count, table.ready) == (1, [second])
    finish(table, lease)
    assert table.begin(second)
    assert table.ready == []


def test_only_so_many_records_of_a_partition_are_read_before_they_are_begun():
    table = LeaseTable(slots=1)
    loaded(table)
    loaded(table, 1)
    first, *_ = [admitted(table, offset) for offset in range(MOST_READY)]
    assert table.admit(record(MOST_READY)) is NotLeased.NOT_YET
    assert table.wanted({partition(0), partition(1)}).paused == {partition(0)}
    assert table.begin(first)
    assert table.wanted({partition(0)}).paused == set()
    assert admitted(table, MOST_READY)


def test_a_record_that_is_read_and_not_begun_is_unfinished_and_leaves_with_its_partition():
    table = LeaseTable(slots=2)
    assignment = loaded(table)
    first, second = admitted(table, 0), admitted(table, 1)
    assert table.begin(second)
    assert finish(table, second) == CommittedState(2, {0: 0})
    assert table.drop([partition()]) == []
    assert not first.live
    assert not table.begin(first)
    assert not assignment.live


def test_offsets_may_have_gaps():
    table = LeaseTable(slots=4)
    loaded(table)
    first, second = leased(table, 0), leased(table, 5)
    assert finish(table, second).offset == 0
    assert finish(table, first).offset == 6


def test_jobs_that_end_out_of_order_commit_the_first_unfinished():
    table = LeaseTable(slots=4)
    loaded(table)
    leases = [leased(table, offset) for offset in range(3)]
    commit(table, begin=leases)
    states = [finish(table, leases[n]) for n in (2, 0, 1)]
    assert [(s.offset, dict(s.active)) for s in states] == [(0, {0: 1, 1: 1}), (1, {1: 1}), (3, {})]


def test_records_admitted_between_proposal_and_commit_stay_in_hand():
    table = LeaseTable(slots=4)
    assignment = loaded(table)
    first = leased(table, 0)
    table.proposed([(Step.FINISH, first)])
    leased(table, 1)
    table.apply([(Step.FINISH, first)])
    assert assignment.committed_state == CommittedState(2, {1: 0})


# Loading and seeking


def test_nothing_is_taken_before_the_committed_state_is_loaded():
    table = LeaseTable(slots=4)
    (assignment,) = table.assign([partition()])
    assert table.admit(record(0)) is NotLeased.NOT_YET
    assert table.wanted({partition()}).paused == {partition()}
    assert not table.all_positioned
    table.load(assignment, None)
    assert table.all_positioned
    assert leased(table, 0)


def test_a_record_of_the_old_position_is_not_taken_while_a_seek_is_due():
    table = LeaseTable(slots=4)
    (assignment,) = table.assign([partition()])
    table.load(assignment, OffsetAndMetadata(7, "", -1))
    assert table.admit(record(3)) is NotLeased.NOT_OURS
    assert table.admit(record(9)) is NotLeased.NOT_OURS
    assert table.wanted({partition()}).seeks == {partition(): 7}
    assert table.wanted({partition()}).seeks == {}
    assert leased(table, 7)


def test_a_seek_waits_until_the_client_has_the_partition():
    table = LeaseTable(slots=4)
    (assignment,) = table.assign([partition()])
    table.load(assignment, OffsetAndMetadata(7, "", -1))
    assert table.wanted(set()).seeks == {}
    assert table.wanted({partition()}).seeks == {partition(): 7}


def test_an_answer_for_an_earlier_assignment_loads_nothing():
    table = LeaseTable(slots=4)
    (earlier,) = table.assign([partition()])
    table.drop([partition()])
    (current,) = table.assign([partition()])
    table.load(earlier, OffsetAndMetadata(900, "", -1))
    assert not current.loaded
    assert table.admit(record(0)) is NotLeased.NOT_YET


def test_an_offset_that_an_operator_has_set_back_runs_the_records_again():
    table = LeaseTable(slots=4)
    loaded(table, committed=OffsetAndMetadata(2, "", -1))
    assert leased(table, 2)


def test_unfinished_records_that_left_the_log_do_not_hold_the_offset_back():
    table = LeaseTable(slots=4)
    loaded(table, committed=CommittedState(20, {4: 1, 18: 2}).encode())
    lease = leased(table, 30)  # retention has taken everything below
    assert finish(table, lease).offset == 31


def test_running_records_below_the_one_read_are_not_taken_for_lost():
    table = LeaseTable(slots=4)
    loaded(table, committed=CommittedState(20, {4: 1, 18: 2}).encode())
    leases = [leased(table, offset) for offset in (4, 18, 20)]
    assert finish(table, leases[2]).offset == 4


# Losing


def test_a_partition_that_leaves_ends_its_leases_and_no_others():
    table = LeaseTable(slots=4)
    loaded(table, 0)
    loaded(table, 1)
    gone, kept = leased(table, 0, 0), leased(table, 0, 1)
    table.drop([partition(0)])
    assert gone.cancelled.is_set()
    assert (gone.live, kept.live) == (False, True)
    assert table.admit(record(1, 0)) is NotLeased.NOT_OURS
    assert table.partitions == {partition(1)}


def test_a_partition_that_comes_back_waits_for_the_job_that_still_runs():
    table = LeaseTable(slots=4)
    loaded(table)
    old = leased(table, 0)
    table.drop([partition()])
    loaded(table)
    assert table.admit(record(0)) is NotLeased.NOT_YET
    assert table.wanted({partition()}).paused == {partition()}
    table.end(old)
    assert table.wanted({partition()}).paused == set()
    assert leased(table, 0) is not old


def test_the_old_jobs_end_takes_nothing_from_its_successor():
    table = LeaseTable(slots=4)
    loaded(table)
    old = leased(table, 0)
    table.drop([partition()])
    loaded(table)
    table.end(old)
    new = leased(table, 0)
    assert (old.live, new.live) == (False, True)
    assert table.wanted({partition()}).seeks == {}


def test_a_commit_that_arrives_after_the_loss_changes_only_the_old_assignment():
    table = LeaseTable(slots=4)
    loaded(table)
    old = leased(table, 0)
    table.drop([partition()])
    current = loaded(table)
    commit(table, finish=[old])
    assert current.committed_state == CommittedState()


def test_an_assignment_that_repeats_itself_ends_the_leases_before_it():
    table = LeaseTable(slots=4)
    loaded(table)
    lease = leased(table, 0)
    loaded(table)
    assert not lease.live


# Ending


def test_a_job_that_ended_without_its_record_done_is_read_again():
    table = LeaseTable(slots=4)
    loaded(table)
    first, second = leased(table, 0), leased(table, 1)
    table.end(second)
    table.end(first)
    assert table.admit(record(2)) is NotLeased.NOT_OURS
    assert table.wanted({partition()}).seeks == {partition(): 0}
    assert leased(table, 0)
    assert leased(table, 1)


def test_a_job_whose_record_is_done_is_not():
    table = LeaseTable(slots=4)
    loaded(table)
    finish(table, leased(table, 0))
    assert table.wanted({partition()}).seeks == {}


def test_a_drain_takes_nothing_new_and_lets_what_runs_go_on():
    table = LeaseTable(slots=4)
    loaded(table)
    lease = leased(table, 0)
    table.drain()
    assert table.admit(record(1)) is NotLeased.NOT_YET
    assert table.wanted({partition()}).paused == {partition()}
    assert lease.live


def test_cancelled_jobs_commit_nothing_and_are_not_read_again_here():
    table = LeaseTable(slots=4)
    loaded(table)
    lease = leased(table, 0)
    table.cancel_all()
    assert not lease.live
    table.end(lease)
    assert table.wanted({partition()}).seeks == {}


def test_jobs_with_lost_leases_are_cancelled_too_and_hold_their_slots_until_they_end():
    table = LeaseTable(slots=1)
    loaded(table)
    lease = leased(table, 0)
    table.drop()
    loaded(table, 1)
    other = admitted(table, 0, 1)
    assert not table.begin(other)
    table.end(lease)
    assert table.begin(other)


def test_a_later_end_does_not_move_the_reader_past_records_that_it_has_still_to_read():
    table = LeaseTable(slots=4)
    loaded(table)
    first, second = leased(table, 0), leased(table, 1)
    table.end(first)
    assert table.wanted({partition()}).seeks == {partition(): 0}
    table.end(second)  # before the reader has come to record 0
    assert table.wanted({partition()}).seeks == {partition(): 0}
    assert leased(table, 0)
    assert leased(table, 1)


def test_a_record_below_the_readers_last_seek_is_read_before_it_is_taken_for_vanished():
    table = LeaseTable(slots=4)
    assignment = loaded(table, committed=CommittedState(3, {0: 1, 2: 1}).encode())
    assignment.seek_to = 2  # as a defect might do it
    assert table.wanted({partition()}).seeks == {partition(): 2}
    assert table.admit(record(2)) is NotLeased.NOT_OURS
    assert table.wanted({partition()}).seeks == {partition(): 0}
    assert leased(table, 0)
    assert leased(table, 2)
