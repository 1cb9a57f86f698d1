"""Tokens of sessions: only ours count, and only until they end or the password changes."""

from pathlib import Path

import pytest

from api.auth.session_key import FILE_NAME, session_key
from api.auth.sessions import LIFETIME_S, Sessions
from common.settings.schema import ApiSettings

KEY = b"k" * 32
USERS = {"ann": b"first", "bob": b"second"}


def sessions(key: bytes = KEY, now_s: float = 1000.0, **users: bytes) -> Sessions:
    return Sessions(lambda: key, (USERS | users).get, lambda: now_s)


def test_a_token_names_its_user_at_every_api_with_the_same_key():
    assert sessions().user_of(sessions().issue("ann")) == "ann"


def test_a_token_ends_after_twelve_hours():
    token = sessions().issue("ann")
    assert sessions(now_s=1000.0 + LIFETIME_S - 1).user_of(token) == "ann"
    assert sessions(now_s=1000.0 + LIFETIME_S).user_of(token) is None


def test_another_key_a_new_password_and_a_removed_user_end_a_session():
    token = sessions().issue("ann")
    assert sessions(b"x" * 32).user_of(token) is None
    assert sessions(ann=b"new").user_of(token) is None
    assert Sessions(lambda: KEY, {}.get, lambda: 1000.0).user_of(token) is None


def test_no_part_of_a_token_can_be_changed():
    token = sessions().issue("ann")
    other = sessions().issue("bob").split(".")
    parts = token.split(".")
    for place in (1, 3):
        assert sessions().user_of(".".join([*parts[:place], other[place], *parts[place + 1 :]])) is None
    assert sessions().user_of(".".join([*parts[:2], str(int(parts[2]) + 1), parts[3]])) is None
    changed = [token[:n] + ("A" if token[n] != "A" else "B") + token[n + 1 :] for n in range(len(token))]
    assert {sessions().user_of(one) for one in changed} == {None}


@pytest.mark.parametrize("token", ["", "v1", "v1...", "v1.YW5u.1.", "v1.YW5u.x.AA", "v1.é.1.AA", "." * 600])
def test_what_is_no_token_is_nobody(token):
    assert sessions().user_of(token) is None


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path):
    settings = ApiSettings(view_file=tmp_path / "view" / "view.sqlite3")
    key = session_key(settings)
    assert session_key(settings) == key
    file = tmp_path / "view" / FILE_NAME
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (key, 0o600)
    assert [path.name for path in file.parent.iterdir()] == [FILE_NAME]


def test_a_given_key_leaves_no_file_and_a_damaged_file_counts_for_nothing(tmp_path: Path, caplog):
    settings = ApiSettings(view_file=tmp_path / "view.sqlite3", session_key="s" * 32)
    assert session_key(settings) == session_key(settings)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / FILE_NAME).write_bytes(b"short")
    own = ApiSettings(view_file=tmp_path / "view.sqlite3")
    assert session_key(own) != session_key(own)
    assert "expected 32 bytes, found 5" in caplog.text
