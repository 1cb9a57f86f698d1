"""Tests that scripts parse, that requirements are pinned, and that supervisord's configuration is right."""

import configparser
import os
import re
import shlex
import subprocess
import sys
import tempfile

import pytest
from supervisor.options import UnhosedConfigParser

from local import config, leftovers, supervision
from local.errors import LocalError
from tests.support.local.checkout import ODD_NAME
from tests.support.paths import REPOSITORY
from tests.support.waiting import wait_for

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


@pytest.mark.parametrize("wrong", ["inf", "nan", "soon"])
def test_a_wrong_time_to_end_is_left_to_the_service_to_name(tmp_path, wrong):
    parsed = _parsed(config.load(tmp_path, {"SHUTDOWN_GRACE_S": wrong}))
    assert parsed["program:api"]["stopwaitsecs"] == "45"


def test_each_service_gets_a_health_port_of_its_own(tmp_path):
    parsed = _parsed(config.load(tmp_path, {"UPLOADER_HEALTH_PORT": "8102"}))
    assert parsed["program:processor"]["environment"] == 'HEALTH_PORT="8001"'
    assert parsed["program:uploader"]["environment"] == 'HEALTH_PORT="8102"'


def test_no_secret_is_written_into_the_configuration(tmp_path):
    loaded = config.load(tmp_path, {"BASIC_AUTH_PASSWORD": "hunter2", "WEBHOOK_SECRET": "whsec_hunter2"})
    assert "hunter2" not in supervision.configuration(loaded)


def test_a_checkouts_path_may_have_any_characters(tmp_path):
    loaded = config.load(tmp_path / ODD_NAME, {"S3_PREFIX": "a ;b %c", "LOG_DIR": "100% logs"})
    parser = UnhosedConfigParser()
    parser.read_string(supervision.configuration(loaded))
    values = {key: value % {} for key, value in parser.items("program:store")}
    assert values["stdout_logfile"] == "100% logs/store.out.log"
    *_, module, data_dir, port, bucket, prefix = shlex.split(values["command"])
    assert (module, data_dir, port) == ("local.store", ".local/data/store", "8333")
    assert (bucket, prefix) == ("uvr-stems", "a ;b %c")
    assert loaded.root.name not in supervision.configuration(loaded)


def test_an_environment_elsewhere_may_have_any_characters_in_its_path(tmp_path, monkeypatch):
    python = str(tmp_path / ODD_NAME / "bin" / "python")
    monkeypatch.setattr(sys, "executable", python)
    parser = UnhosedConfigParser()
    parser.read_string(supervision.configuration(config.load(tmp_path / "uvr", {})))
    command = shlex.split(parser.get("program:api", "command") % {})
    assert (command[0], command[-1]) == (python, "api")


@pytest.mark.parametrize("log_dir", ["my ;logs", "a\t#b", "two\nlines"])
def test_a_log_directory_that_supervisord_cannot_name_is_refused(tmp_path, log_dir):
    with pytest.raises(LocalError, match=r"LOG_DIR: expected no line break, and no ; or # after a blank"):
        supervision.make_log_dir(config.load(tmp_path, {"LOG_DIR": log_dir}))


def test_a_supervisor_below_a_long_path_is_found_whatever_the_temporary_directory_is(tmp_path, monkeypatch):
    deep = config.load(tmp_path / ("x" * 100) / ("y" * 100), {"PATH": os.environ["PATH"]})
    deep.run_dir.mkdir(parents=True)
    monkeypatch.chdir(deep.root)  # as start_local.sh does
    supervision.start_daemon(deep, deep.environment() | {"PYTHONPATH": str(REPOSITORY)})
    supervisor = supervision.Supervisor(deep)
    try:
        supervisor.wait_running(20)
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        assert supervision.Supervisor(deep).is_running()
        assert set(supervision.Supervisor(deep).programs()) == set(deep.supervised)
    finally:
        supervisor.shut_down()
        wait_for(lambda: not leftovers.find(deep.root), 20, "end of supervisord")
    assert not (deep.run_dir / "supervisor.sock").exists()


def _parsed(loaded: config.LocalConfig) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string(supervision.configuration(loaded))
    return parser
