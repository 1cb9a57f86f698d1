"""Tests that scripts parse, that requirements are pinned, and that supervisord's configuration is right."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest

from local import config, supervision
from tests.support.paths import REPOSITORY

REQUIREMENTS = sorted(REPOSITORY.glob("requirements*.txt"))


@pytest.mark.parametrize(
    "script",
    ["start_local.sh", "lint.sh", "run_tests.sh", ".ci/run", "local/bootstrap.sh", "requirements/compile.sh"],
)
def test_scripts_parse(script):
    assert subprocess.run(["bash", "-n", str(REPOSITORY / script)]).returncode == 0


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_requirements_are_pinned_and_hashed_and_hold_no_index_address(file):
    text = file.read_text()
    assert "://" not in text
    assert not re.search(r"^--(?!hash)", text, re.MULTILINE)
    entries = re.split(r"\n(?=\S)", text)
    entries = [entry for entry in entries if not entry.startswith("#")]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._\[\]-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_the_requirement_files_agree():
    pins: dict[str, set[str]] = {}
    for file in REQUIREMENTS:
        for name, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", file.read_text(), re.MULTILINE):
            pins.setdefault(name, set()).add(version)
    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}


@pytest.mark.parametrize("file", ["requirements-api.txt", "requirements-uploader.txt"])
def test_only_the_processor_carries_the_model_library(file):
    assert not re.search(
        r"^(torch|onnx|audio-separator|nvidia)", (REPOSITORY / file).read_text(), re.MULTILINE
    )


def test_every_jar_is_pinned_by_sha256():
    lines = (REPOSITORY / "local" / "kafka.lock").read_text().splitlines()
    assert len(lines) > 40
    for line in lines:
        assert re.fullmatch(r"[\w.-]+:[\w.-]+:[\w.-]+ [0-9a-f]{64}", line), line


def test_supervision_restarts_a_crash_and_not_a_bad_setting(tmp_path):
    parsed = _parsed(config.load(tmp_path, {}))
    for name in ("kafka", "store", "api", "processor", "uploader"):
        section = parsed[f"program:{name}"]
        assert section["autorestart"] == "unexpected"
        assert section["exitcodes"] == "0,64,65"
        # Otherwise supervisord retries a program that ends early, whatever its exit code.
        assert section["startsecs"] == "0"


def test_each_service_gets_a_health_port_of_its_own(tmp_path):
    parsed = _parsed(config.load(tmp_path, {"UPLOADER_HEALTH_PORT": "8102"}))
    assert parsed["program:processor"]["environment"] == 'HEALTH_PORT="8001"'
    assert parsed["program:uploader"]["environment"] == 'HEALTH_PORT="8102"'


def test_no_secret_is_written_into_the_configuration(tmp_path):
    loaded = config.load(tmp_path, {"BASIC_AUTH_PASSWORD": "hunter2", "WEBHOOK_SECRET": "whsec_hunter2"})
    assert "hunter2" not in supervision.configuration(loaded)


def test_a_path_with_blanks_and_percent_signs_is_no_problem(tmp_path):
    parsed = _parsed(config.load(tmp_path / "100% my stuff", {}))
    command = parsed["program:kafka"]["command"].replace("%%", "%")
    assert f"'{tmp_path}/100% my stuff/.local/data/kafka'" in command


def test_a_long_path_moves_the_socket_to_the_temporary_directory(tmp_path):
    deep = config.load(tmp_path / ("x" * 100), {})
    assert len(str(supervision.socket_path(deep))) <= 107
    near = config.load(Path("/srv/uvr"), {})
    assert supervision.socket_path(near) == Path("/srv/uvr/.local/run/supervisor.sock")


def _parsed(loaded: config.LocalConfig) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string(supervision.configuration(loaded))
    return parser
