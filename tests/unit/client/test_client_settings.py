"""Tests where `uvr` finds its settings, and its messages about wrong ones."""

import os
from pathlib import Path

import pytest

from uvr_client.settings import DEFAULT_URL, BadSettings, Given, Settings, default_file, load

FILE = 'url = "http://file"\nusername = "of-file"\npassword = "file-password"\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(path: Path, text: str = FILE, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def loaded(flags=None, environment=None, file: Path | None = None, warn=None) -> Settings:
    return load(flags or Given(), environment or {}, file, warn or [].append)


def test_a_flag_counts_before_the_environment_and_that_before_the_file(home):
    write(home / ".config" / "uvr" / "config.toml")
    assert loaded() == Settings("http://file", "of-file", "file-password")
    environment = {"UVR_URL": "http://environment", "UVR_USERNAME": "of-environment"}
    assert loaded(environment=environment) == Settings(
        "http://environment", "of-environment", "file-password"
    )
    flags = Given(url="http://flag")
    assert loaded(flags, environment) == Settings("http://flag", "of-environment", "file-password")


def test_an_empty_variable_is_one_that_is_not_set(home):
    write(home / ".config" / "uvr" / "config.toml")
    assert loaded(environment={"UVR_URL": "", "UVR_PASSWORD": ""}).password == "file-password"


def test_without_an_address_it_is_this_machines(home):
    assert loaded(environment={"UVR_USERNAME": "a", "UVR_PASSWORD": "b"}).url == DEFAULT_URL


def test_the_file_is_where_xdg_says(home, tmp_path):
    assert default_file({}) == home / ".config" / "uvr" / "config.toml"
    assert default_file({"XDG_CONFIG_HOME": "relative"}) == home / ".config" / "uvr" / "config.toml"
    path = write(tmp_path / "xdg" / "uvr" / "config.toml")
    assert default_file({"XDG_CONFIG_HOME": str(tmp_path / "xdg")}) == path
    assert loaded(environment={"XDG_CONFIG_HOME": str(tmp_path / "xdg")}).username == "of-file"


@pytest.mark.parametrize("name", ["username", "password"])
def test_what_is_missing_is_named_with_where_to_set_it(home, name):
    environment = {"UVR_USERNAME": "a", "UVR_PASSWORD": "b"}
    del environment[f"UVR_{name.upper()}"]
    with pytest.raises(BadSettings, match=rf"{name}.*UVR_{name.upper()}.*config\.toml"):
        loaded(environment=environment)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("url = ", "not TOML"),
        ('pasword = "x"', "pasword is not known"),
        ("password = 12", "expected text"),
        ('[server]\nurl = "x"', "server is not known"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_the_reason(tmp_path, text, why):
    path = write(tmp_path / "uvr.toml", text)
    with pytest.raises(BadSettings, match=rf"uvr\.toml: .*{why}"):
        loaded(file=path)


def test_bytes_that_are_no_text_are_told(tmp_path):
    path = tmp_path / "uvr.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadSettings, match="not TOML"):
        loaded(file=path)


def test_a_file_that_was_named_must_be_there_and_readable(tmp_path):
    with pytest.raises(BadSettings, match="there is no such file"):
        loaded(file=tmp_path / "none.toml")
    with pytest.raises(BadSettings, match="directory"):
        loaded(file=tmp_path)


@pytest.mark.parametrize(
    ("mode", "text", "warned"),
    [(0o600, FILE, False), (0o640, FILE, False), (0o644, FILE, True), (0o644, 'username = "a"', False)],
)
def test_a_password_that_everyone_can_read_is_warned_of(tmp_path, mode, text, warned):
    path, warnings = write(tmp_path / "uvr.toml", text, mode), []
    loaded(Given(username="a", password="b"), file=path, warn=warnings.append)
    assert [os.path.basename(path) in line and "chmod 600" in line for line in warnings] == [True] * warned


def test_a_password_shows_in_no_representation():
    assert "secret" not in repr(Given(password="secret")) + repr(Settings("u", "n", "secret"))


def test_who_has_no_home_has_no_file_either(monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert loaded(environment={"UVR_USERNAME": "a", "UVR_PASSWORD": "b"}).username == "a"


@pytest.mark.parametrize(
    ("flags", "environment", "in_file", "key"),
    [
        (Given(key="uvr_flag"), {"UVR_USERNAME": "a", "UVR_PASSWORD": "b"}, "", "uvr_flag"),
        (Given(), {"UVR_API_KEY": "uvr_env"}, 'username = "a"\npassword = "b"\n', "uvr_env"),
        (Given(), {}, 'key = "uvr_file"\n', "uvr_file"),
        (Given(), {"UVR_USERNAME": "a", "UVR_PASSWORD": "b"}, 'key = "uvr_file"\n', None),
    ],
)
def test_the_first_source_decides_between_key_and_password(tmp_path, flags, environment, in_file, key):
    path = tmp_path / "config.toml"
    path.write_text(in_file)
    path.chmod(0o600)
    settings = loaded(flags, environment, path)
    assert settings.key == key
    assert bool(settings.password) is (key is None)
    assert key is None or key not in repr(settings) + repr(flags)


def test_a_key_and_a_password_in_one_place_are_refused():
    with pytest.raises(BadSettings, match="one of them"):
        loaded(Given(key="uvr_a", username="a", password="b"))
