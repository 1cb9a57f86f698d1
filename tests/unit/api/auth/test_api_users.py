"""The file of users: what it may hold, how a line is made, and what is said of a line that is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from api.auth.users import make_line, read_users
from tests.support.api.users import CHEAP_HASH, cheap_line
from tests.support.forked_command import run_forked
from tests.support.paths import REPOSITORY


def users_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "users"
    path.write_text(text, "utf-8")
    return path


def test_a_user_a_line_and_comments_between(tmp_path):
    text = f"# people\n\n{cheap_line('alice', 'a')}\r\n  {cheap_line('bob smith', 'b')}\n"
    users = read_users(users_file(tmp_path, text))
    assert list(users) == ["alice", "bob smith"]
    assert PasswordHasher().verify(users["alice"], "a")


def test_comments_may_have_any_characters_and_a_mark_of_utf_8_come_first(tmp_path):
    text = f"\ufeff{cheap_line('alice', 'a')}\n# a\u2028b\u2029c\x85d\fe\r\n{cheap_line('bob', 'b')}\n"
    assert list(read_users(users_file(tmp_path, text))) == ["alice", "bob"]


@pytest.mark.parametrize(
    "line",
    [
        "TOPSECRET",
        "TOPSECRET:",
        "TOPSECRET:password",
        f":{CHEAP_HASH}",
        f"{'x' * 129}:{CHEAP_HASH}",
        f"TOPSÉCRET:{CHEAP_HASH}",
        f"TOPSECRET :{CHEAP_HASH}",
        f"TOP\tSECRET:{CHEAP_HASH}",
        f"alice:{CHEAP_HASH}",  # there already
        "TOPSECRET:$2b$12$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
        "TOPSECRET:" + CHEAP_HASH.replace("argon2id", "argon2i"),
        "TOPSECRET:" + CHEAP_HASH.replace("v=19", "v=16"),
        "TOPSECRET:" + CHEAP_HASH[:-30],
        "TOPSECRET:" + CHEAP_HASH + "$more",
        "TOPSECRET:" + CHEAP_HASH.replace("m=64", "m=262145"),
        "TOPSECRET:" + CHEAP_HASH.replace("m=64", "m=99999999999"),
        "TOPSECRET:" + CHEAP_HASH.replace("m=64", "m=1"),
        "TOPSECRET:" + CHEAP_HASH.replace("t=1", "t=11"),
        "TOPSECRET:" + CHEAP_HASH.replace("t=1", "t=0"),
        "TOPSECRET:" + CHEAP_HASH.replace("p=1", "p=17"),
    ],
)
def test_a_wrong_line_is_told_by_its_number_alone(tmp_path, line):
    with pytest.raises(ValueError, match=r"BASIC_AUTH_USERS_FILE .*users, line 3: ") as caught:
        read_users(users_file(tmp_path, f"{cheap_line('alice', 'a')}\n\n{line}\n"))
    message = str(caught.value)
    assert "SECRET" not in message
    assert CHEAP_HASH[-20:] not in message
    assert "alice" not in message


@pytest.mark.parametrize(("content", "why"), [(b"", "at least one user"), (b"\xff\xfe", "not UTF-8")])
def test_a_file_without_users_is_refused(tmp_path, content, why):
    path = tmp_path / "users"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=why):
        read_users(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"BASIC_AUTH_USERS_FILE .*none cannot be read: No such file"):
        read_users(tmp_path / "none")


@pytest.mark.parametrize(("name", "password"), [("a:b", "x"), ("é", "x"), ("", "x"), ("#a", "x"), ("a", "")])
def test_what_could_be_no_user_makes_no_line(name, password):
    with pytest.raises(ValueError, match="expected a"):
        make_line(name, password)


def test_the_command_makes_a_line_from_standard_input(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "api", "hash-password", "alice"],
        cwd=REPOSITORY,
        input="pässword of many words\nand no more\n",
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    users = read_users(users_file(tmp_path, done.stdout))
    assert PasswordHasher().verify(users["alice"], "pässword of many words")


@pytest.mark.parametrize("arguments", [(), ("alice", "TOPSECRET"), ("a:b",)])
def test_the_command_takes_a_name_and_no_password(arguments):
    done = run_forked("api", "hash-password", *arguments, environment=os.environ, given="TOPSECRET\n")
    assert done.returncode != 0
    assert done.stdout == ""
    assert "TOPSECRET" not in done.stderr
    assert "Traceback" not in done.stderr
