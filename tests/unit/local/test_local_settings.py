"""Tests that `.env.example` agrees with the settings classes, and how `.env` files are read."""

import re
import shlex

import pytest

from common.settings.schema import ApiSettings, ProcessorSettings, UploaderSettings
from local import __main__ as local_main
from local import config, env_file, lifecycle, service_settings
from local.errors import LocalError
from tests.support.paths import REPOSITORY

LOCAL_NAMES = {
    "PROCESSOR_HEALTH_PORT",
    "UPLOADER_HEALTH_PORT",
    "KAFKA_PORT",
    "KAFKA_CONTROLLER_PORT",
    "S3_PORT",
    "DEMO_PORT",
    "PROCESSORS",
    "PROCESSOR_AWS_ACCESS_KEY_ID",
    "PROCESSOR_AWS_SECRET_ACCESS_KEY",
    "PROCESSOR_AWS_SECRET_ACCESS_KEY_FILE",
    "PROCESSOR_AWS_SESSION_TOKEN",
    "PROCESSOR_AWS_SESSION_TOKEN_FILE",
}
# The default of each depends on the service.
NO_ONE_DEFAULT = {"HEALTH_PORT", "WORKER_ID", "S3_BUCKET_NAME"}


def _examples() -> dict[str, str]:
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    matches = [re.fullmatch(r"#([A-Z0-9_]+)=(.*)", line) for line in lines]
    return {match[1]: match[2] for match in matches if match}


def test_the_example_names_every_setting_once_and_no_other():
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    names = [line[1:].partition("=")[0] for line in lines if re.match(r"#[A-Z0-9_]+=", line)]
    assert len(names) == len(set(names))
    assert set(names) == service_settings.names() | LOCAL_NAMES


def test_copying_the_example_as_it_is_sets_nothing():
    assert env_file.read(REPOSITORY / ".env.example") == {}


@pytest.mark.parametrize("kind", [ApiSettings, ProcessorSettings, UploaderSettings])
def test_the_example_has_the_defaults(kind, monkeypatch):
    for name in service_settings.names():
        monkeypatch.delenv(name, raising=False)
    required = {"s3_bucket_name": "bucket"} if kind is UploaderSettings else {}
    by_default = kind(**required).model_dump()
    examples = _examples()
    for name, value in examples.items():
        if value:
            monkeypatch.setenv(name, value)
    assert kind(**required).model_dump() == by_default
    for field, value in by_default.items():
        name = service_settings.variable_name(kind, field)
        if value not in (None, "", ()) and name not in NO_ONE_DEFAULT:
            assert examples[name] != "", f"{name} has the default {value!r}"


def test_a_dotenv_file_has_plain_lines_quotes_and_comments(tmp_path):
    file = tmp_path / ".env"
    file.write_text(
        "# a comment\n\nPLAIN=value\nexport EXPORTED = spaced \nHASH=a#b\nCOMMENT=a # b\nEMPTY=\n"
        "ONLY= # none\nSINGLE='a # b'\nDOUBLE=\"x=y\" # z\nDOLLAR=$HOME\n"
    )
    assert env_file.read(file) == {
        "PLAIN": "value",
        "EXPORTED": "spaced",
        "HASH": "a#b",
        "COMMENT": "a",
        "EMPTY": "",
        "ONLY": "",
        "SINGLE": "a # b",
        "DOUBLE": "x=y",
        "DOLLAR": "$HOME",
    }


def test_a_dollar_that_compose_would_expand_is_warned_of_by_name_alone(tmp_path, monkeypatch, capsys):
    lines = (
        "TWO=Pa$$w0rd",
        "NAMED=a$b",
        'DOUBLE="a${b}"',
        "SINGLE='Pa$$w0rd'",
        "export SPACED = 'a$b' # it costs $x",
        "LAST=a$",
        "ALONE=5$ 6$7",
        "COMMENT=a # $b",
    )
    (tmp_path / ".env").write_text("\n".join(lines))
    monkeypatch.setattr(local_main, "_ROOT", tmp_path)
    monkeypatch.setattr(lifecycle, "up", lambda given: given)
    assert local_main.run(["up"]) == 0
    said = capsys.readouterr().out
    assert re.findall(r"^Warning: \.env: (\w+) ", said, re.M) == ["TWO", "NAMED", "DOUBLE"]
    assert "single quotes" in said
    assert "w0rd" not in said
    assert env_file.read(tmp_path / ".env")["SINGLE"] == "Pa$$w0rd"


def test_a_line_that_is_none_is_named(tmp_path):
    file = tmp_path / ".env"
    file.write_text("A=1\nwhat is this\n")
    with pytest.raises(LocalError, match=r"\.env, line 2: expected KEY=VALUE"):
        env_file.read(file)


def test_a_file_that_is_no_utf8_is_named_with_the_line(tmp_path):
    file = tmp_path / ".env"
    file.write_bytes("\ufeffA=1\n# Größe\n".encode() + "# Größe\n".encode("latin-1"))
    with pytest.raises(LocalError, match=r"\.env, line 3: expected UTF-8"):
        env_file.read(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / ".env").mkdir()
    with pytest.raises(LocalError, match=r"\.env: Is a directory"):
        env_file.read(tmp_path / ".env")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n\nALONE\n", 3),
        ("A=1\n\n=2\n", 3),
        ("A-B=1\n", 1),
        ("A=1\r\n\r\nB='open\r\nC=3\r\n", 3),
        ("A=1\n\f\x85\u2028\n=2\n", 3),
    ],
    ids=[
        "no value",
        "no name",
        "no name of a variable",
        "a quote that stays open",
        "blanks that end no line",
    ],
)
def test_the_line_at_fault_is_counted_from_the_top(tmp_path, text, line):
    file = tmp_path / ".env"
    file.write_bytes(text.encode())
    with pytest.raises(LocalError, match=rf"\.env, line {line}: expected KEY=VALUE"):
        env_file.read(file)


def test_a_dotenv_file_of_another_editor_is_read_alike(tmp_path):
    file = tmp_path / ".env"
    file.write_bytes("\ufeffA=1\r\n\r\nB = \"two\\nlines\" \r\nC='it\\'s'".encode())
    assert env_file.read(file) == {"A": "1", "B": "two\nlines", "C": "it's"}


def test_a_line_for_docker_compose_alone_does_not_disturb_the_local_start(tmp_path):
    (tmp_path / ".env").write_text("COMPOSE_FILE=docker-compose.yml:docker-compose.gpu.yml\nAPI_PORT=8100\n")
    assert config.load(tmp_path, {}).ports["API_PORT"] == 8100


def test_the_environment_wins_over_the_file(tmp_path):
    (tmp_path / ".env").write_text("API_PORT=8100\nDEMO_PORT=8200\n")
    loaded = config.load(tmp_path, {"API_PORT": "8300"})
    assert loaded.ports["API_PORT"] == 8300
    assert loaded.ports["DEMO_PORT"] == 8200


def test_an_example_without_a_value_sets_nothing(tmp_path):
    lines = [f"{name}=\n" for name, value in _examples().items() if not value]
    assert "BASIC_AUTH_USERS_FILE=\n" in lines
    without = config.load(tmp_path, {})
    (tmp_path / ".env").write_text("".join(lines))
    assert config.load(tmp_path, {}) == without


def test_a_port_that_is_none_or_taken_twice_is_named(tmp_path):
    with pytest.raises(LocalError, match="S3_PORT: expected a port from 1 to 65535"):
        config.load(tmp_path, {"S3_PORT": "http"})
    with pytest.raises(LocalError, match="API_PORT and S3_PORT are both 8333"):
        config.load(tmp_path, {"API_PORT": "8333"})


def test_a_port_of_a_further_processor_that_is_none_is_named(tmp_path):
    with pytest.raises(LocalError, match=r"PROCESSOR_HEALTH_PORT \+ 10: .* from 1 to 65535 \(got 65540\)"):
        config.load(tmp_path, {"PROCESSOR_HEALTH_PORT": "65530", "PROCESSORS": "2"})


def test_own_servers_give_way_to_given_ones(tmp_path):
    given = {"KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9092", "S3_ENDPOINT_URL": "https://s3.example"}
    loaded = config.load(tmp_path, given)
    assert loaded.programs == ("api", "processor", "uploader")
    assert loaded.environment()["KAFKA_BOOTSTRAP_SERVERS"] == "kafka.example:9092"
    assert "AWS_ACCESS_KEY_ID" not in loaded.environment()
    assert not {"KAFKA_PORT", "S3_PORT"} & loaded.used_ports().keys()


def test_the_local_stack_trusts_the_demo_and_what_the_user_trusts(tmp_path):
    loaded = config.load(tmp_path, {"TRUSTED_URL_PREFIXES": "http://127.0.0.1:9000"})
    assert loaded.environment()["TRUSTED_URL_PREFIXES"] == "http://127.0.0.1:9000,http://127.0.0.1:8765"


def test_the_store_gets_keys_of_its_own_that_stay(tmp_path):
    of_another = {"AWS_PROFILE": "work", "AWS_USE_FIPS_ENDPOINT": "true"}
    mine = {"AWS_ACCESS_KEY_ID": "mine", "AWS_CONFIG_FILE": "mine"}
    first = config.load(tmp_path, {**mine, **of_another}).environment()
    assert "mine" not in (first["AWS_ACCESS_KEY_ID"], first["AWS_CONFIG_FILE"])
    assert not of_another.keys() & first.keys()
    keys = tmp_path / ".local" / "data" / "store" / "keys.json"
    assert keys.stat().st_mode & 0o777 == 0o600
    assert config.load(tmp_path, {}).environment()["AWS_SECRET_ACCESS_KEY"] == first["AWS_SECRET_ACCESS_KEY"]


def test_what_runs_is_asked_with_the_settings_of_its_start(tmp_path):
    started = config.load(tmp_path, {"API_PORT": "8100", "BASIC_AUTH_PASSWORD": "hunter2", "TERM": "xterm"})
    started.save()
    running = config.load(tmp_path, {"DEVICE": "cpu", "TERM": "dumb"}).running()
    assert running.settings() == started.settings()
    assert running.ports["API_PORT"] == 8100
    assert running.given["TERM"] == "dumb"
    file = tmp_path / ".local" / "run" / "settings.json"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("api_host", "reached"),
    [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("::1", "[::1]")],
)
def test_the_api_is_asked_where_it_listens(tmp_path, api_host, reached):
    loaded = config.load(tmp_path, {"API_HOST": api_host})
    assert loaded.health_url("api") == f"http://{reached}:8000/readyz"
    assert loaded.health_url("uploader") == "http://127.0.0.1:8002/readyz"


@pytest.mark.parametrize(
    ("given", "credentials"),
    [
        ({}, "admin:password"),
        ({"BASIC_AUTH_USERNAME": "bob"}, "bob:password"),
        ({"BASIC_AUTH_PASSWORD": "mine"}, "admin"),
        ({"BASIC_AUTH_PASSWORD_FILE": "secret"}, "admin"),
        ({"BASIC_AUTH_USERS_FILE": "users"}, "admin"),
    ],
)
def test_the_line_for_curl_has_the_well_known_password_only_where_it_counts(
    given, credentials, tmp_path, capsys
):
    lifecycle.print_how_to_use(config.load(tmp_path, given))
    assert f'-u "{credentials}"' in capsys.readouterr().out


@pytest.mark.parametrize("given", [{}, {"BASIC_AUTH_USERNAME": "not in the file"}])
def test_with_a_file_of_users_the_line_for_curl_has_one_of_them(given, tmp_path, capsys):
    (tmp_path / "users").write_text("\ufeff# who\u2028may\n\nalice:$argon2id$v=19$…\nbob:$argon2id$v=19$…\n")
    lifecycle.print_how_to_use(config.load(tmp_path, {"BASIC_AUTH_USERS_FILE": "users", **given}))
    assert '-u "alice"' in capsys.readouterr().out


@pytest.mark.parametrize("user", ["it's", 'a "b"', "$HOME", "a`b`", "back\\slash", "with blank"])
def test_the_line_for_curl_survives_a_shell_whatever_the_name_is(user, tmp_path, capsys):
    lifecycle.print_how_to_use(config.load(tmp_path, {"BASIC_AUTH_USERNAME": user}))
    (line,) = re.findall(r"curl (?:.*\\\n)+.*", capsys.readouterr().out)
    words = shlex.split(line)
    assert words[words.index("-u") + 1] == f"{user}:password"
