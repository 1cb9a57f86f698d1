"""One topic's partitions shared out: evenly, no running job moved, what is idle at once."""

import random
from collections.abc import Mapping

import pytest

from common.kafka.sharing import Claim, Share, share_out

TWELVE = frozenset(range(12))


def claim(owned=(), busy=(), waiting=(), **fields) -> Claim:
    return Claim(frozenset(owned), tuple(busy), frozenset(waiting), **fields)


def settled(partitions: frozenset[int], claims: Mapping[str, Claim]) -> dict[str, Share]:
    """The shares after what was given up has been given away."""
    shares = share_out(partitions, claims)
    follow_up = {
        name: Claim(shares[name].partitions, c.busy, c.waiting, c.subscribes, c.takes)
        for name, c in claims.items()
    }
    return share_out(partitions, follow_up)


def counts(shares: Mapping[str, Share]) -> dict[str, int]:
    return {name: len(share.partitions) for name, share in shares.items()}


def test_idle_partitions_move_in_place_of_busy_ones():
    claims = {"a": claim(TWELVE, busy=range(6, 12)), "b": claim()}
    shares = share_out(TWELVE, claims)
    assert shares["a"] == Share(frozenset(range(6, 12)), frozenset())
    assert shares["b"].partitions == frozenset()  # the one that gives them up has to know first
    assert settled(TWELVE, claims)["b"] == Share(frozenset(range(6)), frozenset())


def test_who_has_more_busy_ones_than_his_share_keeps_them_and_is_told_the_surplus():
    shares = share_out(TWELVE, {"a": claim(TWELVE, busy=range(12)), "b": claim()})
    assert shares["a"] == Share(TWELVE, frozenset(range(6)))
    assert shares["b"] == Share(frozenset(), frozenset())


def test_the_surplus_is_what_the_member_names_first():
    shares = share_out(frozenset(range(4)), {"a": claim(range(4), busy=(3, 1, 0, 2)), "b": claim()})
    assert shares["a"].drained == {1, 3}


def test_a_third_gets_of_the_one_that_is_idle_what_the_busy_one_cannot_give():
    claims = {"a": claim(range(8), busy=range(8)), "b": claim(range(8, 12)), "c": claim()}
    shares = settled(TWELVE, claims)
    assert counts(shares) == {"a": 8, "b": 2, "c": 2}
    assert len(shares["a"].drained) == 4


def test_one_that_leaves_keeps_its_jobs_alone():
    claims = {"a": claim(range(6), busy=(5,), takes=False), "b": claim(range(6, 12))}
    shares = settled(TWELVE, claims)
    assert shares["a"] == Share(frozenset({5}), frozenset({5}))
    assert shares["b"] == Share(TWELVE - {5}, frozenset())


def test_where_all_leave_they_keep_what_they_have():
    claims = {"a": claim(range(6), takes=False), "b": claim(range(6, 12), takes=False)}
    assert counts(share_out(TWELVE, claims)) == {"a": 6, "b": 6}


def test_one_that_joins_gets_its_part_of_the_work_and_not_of_what_is_empty_alone():
    claims = {"a": claim(TWELVE, busy=(0, 1), waiting=(2, 3)), "b": claim()}
    assert settled(TWELVE, claims)["b"].partitions >= {2, 3}
    claims = {"a": claim(TWELVE, waiting=(0, 1, 2, 3)), "b": claim()}
    assert len(settled(TWELVE, claims)["b"].partitions & {0, 1, 2, 3}) == 2


def test_where_all_have_their_share_nothing_moves_for_work_that_waits():
    claims = {"a": claim(range(6), waiting=range(6)), "b": claim(range(6, 12))}
    assert share_out(TWELVE, claims)["a"].partitions == frozenset(range(6))


def test_what_two_claim_is_nobodys_first():
    claims = {"a": claim(range(7), busy=(6,)), "b": claim(range(6, 12), busy=(6,))}
    shares = share_out(TWELVE, claims)
    assert not any(6 in share.partitions for share in shares.values())


def test_what_is_not_there_or_not_owned_counts_for_nothing():
    claims = {"a": claim((0, 99), busy=(0, 99, 5, 0), waiting=(77,)), "b": claim((1,), busy=(0,))}
    shares = settled(frozenset(range(4)), claims)
    assert counts(shares) == {"a": 2, "b": 2}
    assert 0 in shares["a"].partitions


def test_one_that_has_unsubscribed_gets_nothing_and_what_it_had_is_given_once_it_knows():
    claims = {"a": claim(range(6), busy=(0,), subscribes=False, takes=False), "b": claim(range(6, 12))}
    assert counts(share_out(TWELVE, claims)) == {"a": 0, "b": 6}
    assert counts(settled(TWELVE, claims)) == {"a": 0, "b": 12}


def test_a_topic_that_is_not_there_yet_gives_nobody_anything():
    assert share_out(frozenset(), {"a": claim((1,))}) == {"a": Share(frozenset(), frozenset())}


@pytest.mark.parametrize("seed", range(200))
def test_whatever_is_claimed_no_partition_has_two_owners_no_job_moves_and_all_is_even(seed):
    rng = random.Random(seed)
    partitions = frozenset(range(rng.randrange(1, 25)))
    members = [f"m{n}" for n in range(rng.randrange(1, 7))]
    owned: dict[str, set[int]] = {name: set() for name in members}
    for number in partitions:
        if rng.random() < 0.8:
            owned[rng.choice(members)].add(number)
    claims = {}
    for name, mine in owned.items():
        busy = [number for number in mine if rng.random() < 0.4]
        waiting = {number for number in mine if rng.random() < 0.5}
        claims[name] = claim(mine, busy, waiting, takes=rng.random() < 0.8)
    first = share_out(partitions, claims)
    for name, share in first.items():
        assert share.partitions >= set(claims[name].busy) >= share.drained
        assert not any(share.partitions & other for n, other in owned.items() if n != name)
    shares = settled(partitions, claims)
    given = [number for share in shares.values() for number in share.partitions]
    assert sorted(given) == sorted(partitions)
    again = {
        name: Claim(shares[name].partitions, c.busy, c.waiting, takes=c.takes) for name, c in claims.items()
    }
    assert share_out(partitions, again) == shares
    takers = [name for name, c in claims.items() if c.takes] or members
    for low in takers:
        for high in members:
            if len(shares[high].partitions) > len(shares[low].partitions) + 1:
                assert shares[high].partitions == set(claims[high].busy)
