"""The log's handlers: each record is formatted once, and a full file is replaced."""

import logging

import pytest

from common.observability.log_output import Clock, FormatOnce, LogFile


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("name", logging.INFO, "", 0, message, None, None)


def test_a_full_file_is_replaced_and_as_many_old_ones_are_kept_as_said(tmp_path):
    file = tmp_path / "service.log"
    handler = LogFile(file, maxBytes=100, backupCount=2, encoding="utf-8")
    for number in range(12):
        handler.emit(record(f"{number:02d}" + "." * 40))
    handler.close()
    kept = {each.name: each.read_text().split() for each in tmp_path.iterdir()}
    assert set(kept) == {"service.log", "service.log.1", "service.log.2"}
    assert [line[:2] for name in sorted(kept, reverse=True) for line in kept[name]] == [
        f"{number:02d}" for number in range(6, 12)
    ]


def test_a_file_that_was_there_counts_with_its_size(tmp_path):
    file = tmp_path / "service.log"
    file.write_text("." * 99 + "\n")
    handler = LogFile(file, maxBytes=100, backupCount=1, encoding="utf-8")
    handler.emit(record("new"))
    handler.close()
    assert file.read_text() == "new\n"


def test_handlers_that_share_a_formatter_show_the_same_line_and_format_it_once():
    class Counting(logging.Formatter):
        count = 0

        def format(self, record: logging.LogRecord) -> str:
            self.count += 1
            return super().format(record)

    counting = Counting()
    shared, mine, other = FormatOnce(counting), record("mine"), record("other")
    assert [shared.format(each) for each in (mine, mine, other)] == ["mine", "mine", "other"]
    assert counting.count == 2


@pytest.mark.parametrize("epoch_s", [0.0, 1.0004, 1_700_000_000.9996, 1_700_000_000.999, 1_700_000_001.0])
def test_times_are_shown_as_logging_shows_them(epoch_s):
    clock, logged = Clock(), record("")
    clock.text(1_700_000_000.5)
    logged.created, logged.msecs = epoch_s, int((epoch_s - int(epoch_s)) * 1000) + 0.0
    assert clock.text(epoch_s) == logging.Formatter().formatTime(logged)


def test_a_record_that_cannot_be_shown_ends_no_work(tmp_path, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    handler = LogFile(tmp_path / "service.log", maxBytes=100, encoding="utf-8")
    wrong = logging.LogRecord("name", logging.INFO, "", 0, "%d", ("text",), None)
    handler.emit(wrong)
    handler.emit(record("right"))
    handler.close()
    assert (tmp_path / "service.log").read_text() == "right\n"
