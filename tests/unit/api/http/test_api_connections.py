"""Who gets a place, and who gives one up for it."""

from collections import Counter

from api.http.connections import Connections, Place
from api.metrics import Ended, Limit


class House:
    """Connections whose ends are seen."""

    def __init__(self, most: int = 4, most_of_address: int = 4, proxies: tuple[str, ...] = ()):
        self.ended: Counter[tuple[Ended, Limit]] = Counter()
        self.cut: list[str] = []
        self.connections = Connections(most, most_of_address, proxies.__contains__, self._end)

    def _end(self, how: Ended, limit: Limit) -> None:
        self.ended[how, limit] += 1

    def enter(self, name: str, host: str = "198.51.100.1", is_in_debt: bool | None = False) -> Place | None:
        """`is_in_debt` is None for one that is busy."""
        place = self.connections.enter((host, name))
        if place is not None:
            place.cut = lambda: self.cut.append(name)
            if is_in_debt is None:
                self.connections.is_busy(place)
            else:
                self.connections.waits(place, is_in_debt)
        return place


def test_at_the_limit_the_one_that_waits_longest_makes_room():
    house = House(most=3)
    for name in "abcde":
        assert house.enter(name)
    assert house.cut == ["a", "b"]
    assert house.ended == {(Ended.CUT_OFF, Limit.ALL): 2}


def test_who_does_not_take_an_answer_goes_before_who_does_not_ask():
    house = House(most=3)
    house.enter("idle")
    house.enter("in debt", is_in_debt=True)
    house.enter("idle too")
    house.enter("new")
    assert house.cut == ["in debt"]


def test_who_is_busy_stays_and_a_new_one_is_refused():
    house = House(most=2)
    house.enter("a", is_in_debt=None)
    place = house.enter("b")
    house.connections.is_busy(place)
    assert house.enter("c") is None
    assert (house.cut, house.ended) == ([], {(Ended.REFUSED, Limit.ALL): 1})


def test_an_address_makes_room_from_its_own_and_a_wide_one_is_one_address():
    house = House(most=9, most_of_address=2)
    house.enter("other", "198.51.100.7")
    for number in range(3):
        house.enter(f"v6-{number}", f"2001:db8::{number}")
    assert house.cut == ["v6-0"]
    assert house.ended == {(Ended.CUT_OFF, Limit.ADDRESS): 1}


def test_a_proxy_has_everybodys_connections():
    house = House(most=9, most_of_address=1, proxies=("198.51.100.1",))
    assert all(house.enter(name) for name in "abc")
    assert house.cut == []


def test_one_that_is_still_being_set_up_makes_room_too():
    house = House(most=1)
    first = house.connections.enter(("198.51.100.1", "a"))
    assert house.connections.enter(("198.51.100.1", "b"))
    assert not first.counts  # whoever sets it up ends it


def test_a_place_is_given_back_once():
    house = House(most=2)
    first, second = house.enter("a"), house.enter("b")
    house.enter("c")
    for name, place in (("a", first), ("a", first), ("b", second)):
        house.connections.leave(("198.51.100.1", name), place)
    assert house.connections.open == 1
    assert house.enter("d")
    assert house.cut == ["a"]
