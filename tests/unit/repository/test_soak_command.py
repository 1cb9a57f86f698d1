"""The soak's command: what it refuses, its exit codes, and where it leaves its files."""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from soak import __main__ as command
from soak import run
from soak.plan import Options
from soak.run import Report
from soak.violation import Violation

SOUND, VIOLATED = Report([], "a table"), Report([Violation("lost", "job 1")], "a table")
Start = Callable[..., int]


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    """Keeps what the command does to the loggers from later tests."""
    loggers = [logging.getLogger(name) for name in ("soak", "kafka")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Start:
    """Runs the command with a soak that ends as `end`, whose own directory is `made` in `tmp_path`."""

    def start(end: Report | BaseException, *arguments: str) -> int:
        def soak(options: Options, directory: Path) -> Report:
            run.log.info("starting everything in %s", directory)
            if isinstance(end, BaseException):
                raise end
            return end

        def own(prefix: str) -> str:
            (tmp_path / "made").mkdir()
            return str(tmp_path / "made")

        monkeypatch.setattr(command, "soak", soak)
        monkeypatch.setattr(command.tempfile, "mkdtemp", own)
        monkeypatch.setattr(sys, "argv", ["soak", *arguments])
        return command.main()

    return start


@pytest.mark.parametrize(
    ("end", "code", "is_kept"),
    [(SOUND, 0, False), (VIOLATED, 1, True), (RuntimeError("no readiness of processor"), 2, True)],
    ids=["sound", "violated", "not run"],
)
def test_the_directory_is_told_and_kept_unless_all_is_sound(
    start, tmp_path, capsys, caplog, end, code, is_kept
):
    assert start(end) == code
    printed = capsys.readouterr().out
    assert (f"files of the run: {tmp_path / 'made'}" in printed) is is_kept
    assert (tmp_path / "made").exists() is is_kept
    assert "starting everything" in caplog.text
    assert ("no readiness of processor" in caplog.text) is (code == 2)


def test_a_directory_that_was_given_stays(start, tmp_path, capsys):
    given = tmp_path / "given"
    given.mkdir()
    assert start(SOUND, f"--directory={given}") == 0
    assert given.exists()
    assert str(given) in capsys.readouterr().out


def test_an_interrupted_soak_tells_its_directory(start, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        start(KeyboardInterrupt())
    assert str(tmp_path / "made") in capsys.readouterr().out


def test_faults_that_cannot_be_put_in_are_an_error_of_usage(start, capsys):
    with pytest.raises(SystemExit) as ended:
        start(SOUND, "--fault=forget", "--fault=forget")
    assert ended.value.code == 2
    assert "--fault=forget is given twice: give it once" in capsys.readouterr().err
