"""Keys: shown once, kept as digests, ended at once, and no way around passwords, scopes or limits."""

import json
import stat

import pytest

from api.auth import keys_command
from api.auth.keys import KeyRing, new_key, parse_keys
from tests.support.api.api_client import ApiClient, basic
from tests.support.api.users import write_users


@pytest.fixture
def keys_file(tmp_path):
    return tmp_path / "keys.json"


@pytest.fixture
def command(keys_file, capsys):
    """`python -m api keys`, which returns the lines on standard output."""

    def run(*arguments: str, now_s: float | None = None) -> list[str]:
        clock = {} if now_s is None else {"now_s": lambda: now_s}
        assert keys_command.main(["--file", str(keys_file), *arguments], **clock) == 0
        return capsys.readouterr().out.splitlines()

    return run


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def client_with(keys_file, **settings) -> ApiClient:
    return ApiClient(api_keys_file=keys_file, **settings)


def test_a_key_submits_as_its_user_and_its_file_holds_no_key(keys_file, command):
    (key,) = command("create", "admin", "--name", "nightly")
    client = client_with(keys_file)
    assert client.generate(headers=bearer(key)).status == 200
    assert client.publisher.tasks[0].user == "admin"
    assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600
    secret = key.rpartition("_")[2]
    assert len(bytes.fromhex(secret)) * 8 >= 128
    assert secret not in keys_file.read_text()
    (listed,) = command("list")
    assert "nightly" in listed
    assert secret not in listed


def test_a_running_api_knows_a_new_key_and_a_revoked_one_at_the_next_request(keys_file, command):
    client = client_with(keys_file)
    (key,) = command("create", "admin")
    assert client.generate(headers=bearer(key)).status == 200
    command("revoke", key.split("_")[1])
    refused = client.generate(headers=bearer(key))
    assert (refused.status, refused.json()["error_code"]) == (401, "key_revoked")
    assert refused.headers["www-authenticate"].startswith("Bearer ")


def test_an_expired_key_is_told_so(keys_file, command):
    (key,) = command("create", "admin", "--expires", "1h", now_s=1000.0)
    refused = client_with(keys_file).generate(headers=bearer(key))
    assert (refused.status, refused.json()["error_code"]) == (401, "key_expired")


def test_the_key_of_a_removed_user_is_as_good_as_none(keys_file, command, tmp_path):
    (key,) = command("create", "alice")
    users = write_users(tmp_path / "users", bob="password")
    refused = client_with(keys_file, basic_auth_users_file=users).generate(headers=bearer(key))
    assert (refused.status, refused.json()["error_code"]) == (401, "key_invalid")


@pytest.mark.parametrize("broken", [b"", b"{", b'{"version": 2}', b'{"keys": [{}]}', b"\xff", None])
def test_a_broken_file_neither_locks_out_nor_lets_in(keys_file, command, caplog, broken):
    (key,) = command("create", "admin")
    client = client_with(keys_file)
    if broken is None:
        keys_file.unlink()
    else:
        keys_file.write_bytes(broken)
    assert [client.generate(headers=bearer(key)).status for _ in range(2)] == [200, 200]
    assert client.generate(headers=bearer(key[:-1] + "x")).status == 401
    assert caplog.text.count("API_KEYS_FILE") == 1
    assert key not in caplog.text


def test_a_command_leaves_a_broken_file_as_it_is(keys_file, capsys):
    keys_file.write_text("{")
    assert keys_command.main(["--file", str(keys_file), "create", "admin"]) == 1
    assert keys_file.read_text() == "{"
    assert "uvr_" not in capsys.readouterr().out


def test_an_api_does_not_start_with_a_broken_file(keys_file):
    keys_file.write_text("[]")
    with pytest.raises(ValueError, match="API_KEYS_FILE"):
        client_with(keys_file)


def test_wrong_keys_count_as_wrong_passwords_do(keys_file, command):
    (key,) = command("create", "admin")
    client = client_with(keys_file, auth_failures_per_minute=3)
    wrong = bearer(key[:-48] + "0" * 48)
    answers = [client.generate(headers=wrong) for _ in range(4)]
    assert [answer.status for answer in answers] == [401, 401, 401, 429]
    assert answers[0].json()["error_code"] == "key_invalid"
    assert client.generate(headers=bearer(key)).status == 429
    assert client.generate().status == 429


def test_an_ended_key_that_is_sent_again_and_again_blocks_nobody(keys_file, command):
    (key,) = command("create", "admin")
    command("revoke", "--user", "admin")
    client = client_with(keys_file, auth_failures_per_minute=1)
    assert {client.generate(headers=bearer(key)).status for _ in range(3)} == {401}
    assert client.generate().status == 200


def test_a_header_with_both_kinds_is_refused(keys_file, command):
    (key,) = command("create", "admin")
    client = client_with(keys_file)
    both = f"{basic('admin', 'password')['Authorization']}, Bearer {key}"
    assert client.generate(headers={"Authorization": both}).status == 401
    assert client.generate(headers={"Authorization": f"Bearer {key}, {both}"}).status == 401
    assert client.generate(headers={"Authorization": f"Bearer {key}" + "0" * 2**20}).status == 431


@pytest.mark.parametrize(
    ("scopes", "post", "get"), [("submit", 200, 403), ("read", 403, 200), ("admin", 403, 403)]
)
def test_a_key_does_what_its_scopes_say(keys_file, command, scopes, post, get):
    (key,) = command("create", "admin", "--scopes", scopes)
    client = client_with(keys_file)
    submitted = client.generate(headers=bearer(key))
    listed = client.request("GET", "/tasks", bearer(key))
    assert (submitted.status, listed.status) == (post, get)
    for answer in (submitted, listed):
        if answer.status == 403:
            assert answer.json()["error_code"] == "scope_missing"
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_only_a_key_with_that_scope_has_an_administrators_rights(keys_file, command):
    (plain,) = command("create", "admin")
    (full,) = command("create", "admin", "--scopes", "read,admin")
    client = client_with(keys_file, admin_usernames=("admin",))
    asked = [client.request("GET", "/usage?all=true", bearer(key)).status for key in (plain, full)]
    assert asked == [403, 200]


def test_the_scope_admin_makes_nobody_an_administrator(keys_file, command):
    (key,) = command("create", "admin", "--scopes", "read,admin")
    client = client_with(keys_file, admin_usernames=("somebody else",))
    assert client.request("GET", "/usage?all=true", bearer(key)).status == 403


def test_the_log_names_the_keys_id_and_never_its_secret(keys_file, command, caplog):
    caplog.set_level("INFO")
    (key,) = command("create", "admin")
    client_with(keys_file).generate(headers=bearer(key))
    assert f", key {key.split('_')[1]}" in caplog.text
    assert key.rpartition("_")[2] not in caplog.text


def test_without_a_file_of_keys_no_key_is_valid():
    key, _ = new_key("admin", ("submit",), 0.0, None)
    assert ApiClient().generate(headers=bearer(key)).status == 401


def test_of_two_keys_with_one_id_the_file_is_refused(keys_file, command):
    command("create", "admin")
    content = json.loads(keys_file.read_text())
    content["keys"] *= 2
    with pytest.raises(ValueError, match="twice"):
        parse_keys(json.dumps(content).encode())


def test_a_text_that_is_nearly_a_key_is_none():
    key, kept = new_key("admin", ("submit",), 0.0, None)
    ring = KeyRing.of([kept])
    assert ring.find(key) is kept
    for other in (key.upper(), key + "0", key[:-1], key.replace("uvr_", "uvr-"), f" {key}", "", "uvr_\udcff"):
        assert ring.find(other) is None
