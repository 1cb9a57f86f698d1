from itertools import combinations, islice

from tests.support.ports import in_turn, own_ports, take_port, take_ports

WORKERS = [None, *(f"gw{number}" for number in range(7))]


def test_processes_that_run_tests_side_by_side_have_no_port_in_common():
    for one, other in combinations(WORKERS, 2):
        assert not {*own_ports(one)} & {*own_ports(other)}


def test_nobody_takes_the_port_of_a_second_processor_which_is_10_above_the_first():
    ports = own_ports("gw0")
    assert not {*ports} & {port + 10 for port in ports}


def test_a_worker_that_takes_the_place_of_a_crashed_one_has_ports():
    assert len(own_ports("gw7")) == len(own_ports("gw0"))


def test_a_port_comes_back_only_after_all_of_the_others():
    ports = range(1, 21)
    taken = list(islice(in_turn(ports, free=lambda port: True), 40))
    assert sorted(taken[:20]) == sorted(taken[20:]) == [*ports]


def test_a_port_that_another_program_holds_is_left_out():
    even = islice(in_turn(range(1, 21), free=lambda port: port % 2 == 0), 10)
    assert sorted(even) == [*range(2, 21, 2)]


def test_ports_taken_one_by_one_and_together_are_distinct():
    taken = [*take_ports(4), take_port(), *take_ports(2)]
    assert len({*taken}) == 7
