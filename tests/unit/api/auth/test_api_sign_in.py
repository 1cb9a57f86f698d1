"""Several users: checked in threads, at a bounded price, and the same price for names that nobody has."""

import asyncio
import threading

import pytest

from api.auth.sign_in import Pair, SignIn, TooManySignIns
from api.auth.users import parameters_of
from tests.support.api.api_client import ApiClient, basic
from tests.support.api.users import cheap_line, write_users
from tests.support.waiting import wait_for

PATIENCE_S = 20
USERS = dict(line.split(":", 1) for line in (cheap_line("alice", "a"), cheap_line("bob", "b")))


@pytest.fixture
def users(tmp_path):
    return write_users(tmp_path / "users", alice="a", bob="b")


class Verifier:
    """Counts; holds whoever asks until `may_end`; takes `right` for every name's password."""

    def __init__(self, right: bytes = b"right"):
        self.asked: list[str] = []
        self.right = right
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self, encoded: str, password: bytes) -> bool:
        self.asked.append(encoded)
        assert self.may_end.wait(PATIENCE_S)
        return password == self.right


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(("name", "password", "status"), [
    ("alice", "a", 200), ("bob", "b", 200), ("alice", "b", 401), ("carol", "a", 401), ("", "", 401),
    ("alice\0", "a", 401), ("ALICE", "a", 401), ("admin", "password", 401),
])  # fmt: skip
def test_the_files_users_are_let_in_and_no_well_known_pair(users, name, password, status):
    client = ApiClient(basic_auth_users_file=users)
    assert client.generate(headers=basic(name, password)).status == status
    assert [task.user for task in client.publisher.tasks] == ([name] if status == 200 else [])


def test_a_pair_of_ones_own_counts_beside_the_file(users):
    client = ApiClient(basic_auth_users_file=users, basic_auth_password="another")
    assert client.generate(headers=basic("admin", "another")).status == 200
    assert client.generate(headers=basic("alice", "a")).status == 200
    assert [task.user for task in client.publisher.tasks] == ["admin", "alice"]


def test_one_name_with_two_passwords_is_refused_at_the_start(users):
    with pytest.raises(ValueError, match="BASIC_AUTH_USERNAME"):
        ApiClient(basic_auth_users_file=users, basic_auth_username="alice", basic_auth_password="x")


def test_the_same_key_of_two_users_is_two_tasks(users):
    client = ApiClient(basic_auth_users_file=users)
    for name, password in (("alice", "a"), ("bob", "b"), ("alice", "a")):
        client.generate(headers=basic(name, password) | {"Idempotency-Key": "k"})
    one, other, again = [task.task_uuid for task in client.publisher.tasks]
    assert one == again != other


def test_wrong_passwords_of_the_files_users_count(users):
    client = ApiClient(basic_auth_users_file=users, auth_failures_per_minute=2)
    wrong = basic("alice", "wrong")
    assert [client.generate(headers=wrong).status for _ in range(3)] == [401, 401, 429]
    client.now_s += 60
    right = basic("alice", "a")
    assert {client.generate(headers=right).status for _ in range(10)} == {200}


def check(sign_in: SignIn, name: bytes, password: bytes) -> str | None:
    return sign_in.known(name, password) or asyncio.run(sign_in.check(name, password))


def test_what_was_right_is_remembered_for_five_minutes_and_what_was_wrong_is_not():
    clock, verify = Clock(), Verifier()
    sign_in = SignIn(None, USERS, clock, verify)
    assert [check(sign_in, b"alice", b"right") for _ in range(3)] == ["alice"] * 3
    assert len(verify.asked) == 1
    clock.now_s += 301
    assert check(sign_in, b"alice", b"right") == "alice"
    assert len(verify.asked) == 2
    assert [check(sign_in, b"alice", b"wrong") for _ in range(3)] == [None] * 3
    assert len(verify.asked) == 5


def test_what_is_remembered_is_bounded_and_holds_no_password():
    verify = Verifier()
    sign_in = SignIn(None, USERS, Clock(), verify, max_remembered=1)
    check(sign_in, b"alice", b"right")
    assert b"right" not in b"".join(sign_in._remembered)
    check(sign_in, b"bob", b"right")
    assert (sign_in.known(b"alice", b"right"), sign_in.known(b"bob", b"right")) == (None, "bob")


def test_name_and_password_are_kept_apart():
    sign_in = SignIn(None, USERS, Clock(), Verifier())
    check(sign_in, b"alice", b"right")
    assert sign_in.known(b"alicer", b"ight") is None


def test_a_name_that_nobody_has_costs_what_one_of_the_users_costs():
    verify = Verifier()
    sign_in = SignIn(None, USERS, Clock(), verify)
    assert check(sign_in, b"carol", b"right") is None
    (decoy,) = verify.asked
    assert decoy not in USERS.values()
    assert parameters_of(decoy) == parameters_of(USERS["alice"])


def test_a_wrong_password_of_the_pairs_name_costs_the_same():
    verify = Verifier()
    sign_in = SignIn(Pair("admin", "own"), USERS, Clock(), verify)
    assert check(sign_in, b"admin", b"wrong") is None
    assert len(verify.asked) == 1


def test_who_asks_the_same_at_once_shares_one_answer_and_only_so_many_may_wait():
    verify = Verifier()
    verify.may_end.clear()
    sign_in = SignIn(None, USERS, Clock(), verify, max_waiting=2)

    async def play():
        same = [asyncio.create_task(sign_in.check(b"alice", b"right")) for _ in range(20)]
        other = asyncio.create_task(sign_in.check(b"bob", b"wrong"))
        await asyncio.sleep(0)
        with pytest.raises(TooManySignIns):
            await sign_in.check(b"carol", b"x")
        same[0].cancel()
        await asyncio.to_thread(wait_for, lambda: len(verify.asked) == 2, PATIENCE_S, "both questions")
        verify.may_end.set()
        assert await asyncio.gather(*same[1:]) == ["alice"] * 19
        assert await other is None
        # there is room again
        assert await sign_in.check(b"carol", b"x") is None

    asyncio.run(play())
    assert len(verify.asked) == 3


def test_a_flood_of_guesses_at_once_is_counted_before_it_is_checked(users):
    client = ApiClient(basic_auth_users_file=users, auth_failures_per_minute=5)

    async def flood():
        sends = [client.send(headers=basic("alice", f"guess {n}")) for n in range(20)]
        return [answer.status for answer in await asyncio.gather(*sends)]

    statuses = asyncio.run(flood())
    assert sorted(statuses) == [401] * 5 + [429] * 15
