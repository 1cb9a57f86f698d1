"""What is committed for a partition: its meaning, its bytes, and what is made of a stranger's."""

import json

import pytest
from kafka.structs import OffsetAndMetadata

from common.worker.committed_state import CommittedState, Step, decode

_BROKERS_METADATA_LIMIT_BYTES = 4096
_MOST_SLOTS = 128


def committed(offset: int, metadata: str | None) -> OffsetAndMetadata:
    return OffsetAndMetadata(offset, metadata, -1)


def test_a_group_without_a_commit_has_done_nothing():
    assert decode(None) == CommittedState()


def test_the_offset_is_the_first_unfinished_record():
    state = CommittedState().admitted(3).admitted(4).admitted(5).finished(4)
    assert (state.offset, state.next_offset) == (3, 6)
    assert state.is_done(4)
    assert not state.is_done(3)
    assert not state.is_done(6)


def test_with_nothing_running_the_offset_is_the_next_record():
    assert CommittedState().admitted(3).finished(3).offset == 4


def test_jobs_that_end_out_of_order_move_the_offset_only_past_what_is_done():
    state = CommittedState().admitted(0).admitted(1).admitted(2)
    offsets = []
    for offset in (2, 0, 1):
        state = state.finished(offset)
        offsets.append(state.offset)
    assert offsets == [0, 1, 3]


def test_offsets_without_a_record_are_passed_over():
    state = CommittedState().admitted(3).finished(3).admitted(7)
    assert state.offset == 7
    assert state.finished(7).offset == 8


def test_attempts_count_begins_and_survive_the_way_through_the_broker():
    state = CommittedState().admitted(3).after(Step.BEGIN, 3).after(Step.BEGIN, 3).admitted(4)
    taken_over = decode(state.encode())
    assert taken_over == state
    assert taken_over.attempts(3) == 2
    assert taken_over.admitted(3).attempts(3) == 2
    assert taken_over.attempts(4) == 0


def test_an_attempt_that_is_handed_back_does_not_count_and_its_number_is_not_used_again():
    state = CommittedState().admitted(3).after(Step.BEGIN, 3).after(Step.HAND_BACK, 3).after(Step.BEGIN, 3)
    taken_over = decode(state.encode())
    assert taken_over == state
    assert (taken_over.attempts(3), taken_over.counted_attempts(3)) == (2, 1)
    assert not taken_over.is_done(3)


def test_no_more_attempts_are_handed_back_than_were_begun():
    state = CommittedState().admitted(3).after(Step.BEGIN, 3).after(Step.HAND_BACK, 3)
    assert state.after(Step.HAND_BACK, 3) == state


def test_what_is_done_is_not_brought_to_life_by_handing_back():
    state = CommittedState().admitted(3).after(Step.BEGIN, 3).after(Step.FINISH, 3)
    assert state.after(Step.HAND_BACK, 3) == state


def test_of_a_finished_record_nothing_is_kept():
    state = CommittedState().admitted(3).after(Step.BEGIN, 3).after(Step.HAND_BACK, 3).after(Step.FINISH, 3)
    assert json.loads(state.encode().metadata) == {"n": 4, "a": {}}


def test_a_finished_record_is_done_whatever_its_attempts():
    assert CommittedState().admitted(3).after(Step.BEGIN, 3).after(Step.FINISH, 3).is_done(3)


def test_the_bytes_are_those_of_the_documented_format():
    encoded = CommittedState(20, {18: 3, 19: 2}, {18: 1}).encode()
    assert encoded.offset == 18
    assert json.loads(encoded.metadata) == {"n": 20, "a": {"18": [3, 1], "19": 2}}


def test_the_metadata_of_the_most_slots_fits_into_the_brokers_limit():
    state = CommittedState()
    for offset in range(10**15, 10**15 + _MOST_SLOTS):
        state = state.admitted(offset).after(Step.BEGIN, offset)
    assert len(state.encode().metadata) < _BROKERS_METADATA_LIMIT_BYTES


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "",
        "not json",
        "[]",
        "7",
        "null",
        "{}",
        '{"n": 9}',
        '{"n": 9, "a": null}',
        '{"n": null, "a": {}}',
        '{"n": 9, "a": {"x": 1}}',
        '{"n": 9, "a": {"5": null}}',
        '{"n": 1e999, "a": {}}',
        '{"n": 9223372036854775808, "a": {}}',
        '{"n": -1, "a": {}}',
        '{"n": 9, "a": {"5": 1000000000}}',
        '{"n": 9, "a": {"5": [1, 1000000000]}}',
        '{"n": 9, "a": {"5": -1}}',
        "[" * 4000,
    ],
)
def test_metadata_that_is_not_ours_leaves_the_offset_alone(metadata):
    assert decode(committed(5, metadata)) == CommittedState(5)


@pytest.mark.parametrize("offset", [0, 12, 50])
def test_an_offset_moved_beneath_our_metadata_is_what_counts(offset):
    ours = CommittedState(20, {19: 2}).encode()
    moved = decode(committed(offset, ours.metadata))
    assert moved == CommittedState(offset)
    assert not moved.is_done(offset)


def test_an_attempt_that_goes_on_after_it_was_handed_back_counts_again():
    state = CommittedState(3, {2: 2})
    back = state.after(Step.HAND_BACK, 2)
    assert (back.attempts(2), back.counted_attempts(2)) == (2, 1)
    assert back.after(Step.RESUME, 2) == state
    twice = back.after(Step.HAND_BACK, 2)
    assert twice.after(Step.RESUME, 2) == back
