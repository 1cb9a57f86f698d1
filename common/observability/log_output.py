"""Writes log records with little work for each. A request to the api logs two, to a file and to a stream."""

import logging
import os
import time
from logging.handlers import RotatingFileHandler
from typing import Any


class LogFile(RotatingFileHandler):
    """A file that is replaced once it is full, and that is its service's alone.

    The base class asks the file system about the file before each line. Ours counts what it writes.
    """

    _bytes = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, to a new file if this one would become too large."""
        try:
            line = f"{self.format(record)}\n"
            length = len(line) if line.isascii() else len(line.encode("utf-8", "backslashreplace"))
            if self.stream is None:
                self.stream = self._open()
            if self._bytes + length > self.maxBytes:
                self.doRollover()
            self.stream.write(line)
            self.stream.flush()
            self._bytes += length
        except Exception:  # noqa: BLE001 (as in the base class: no line may end the work that it tells of)
            self.handleError(record)

    def _open(self) -> Any:
        stream = super()._open()
        self._bytes = os.fstat(stream.fileno()).st_size
        return stream


class FormatOnce(logging.Formatter):
    """Formats a record once for all handlers that share this formatter, whoever asks first."""

    def __init__(self, formatter: logging.Formatter):
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        line: str | None = getattr(record, "line_of_log", None)
        if line is None:
            line = record.line_of_log = self._formatter.format(record)
        return line


class Clock:
    """Shows times as logging does, `2026-01-31 12:00:00,123`, and computes each second's text once."""

    def __init__(self) -> None:
        # One attribute, so that another thread never sees the second of one time with the text of another.
        self._latest = (-1, "")

    def text(self, epoch_s: float) -> str:
        second = int(epoch_s)
        known, text = self._latest
        if second != known:
            text = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
            self._latest = (second, text)
        return f"{text},{int((epoch_s - second) * 1000):03d}"


def leave_out_unshown_fields() -> None:
    """Let records lack what no line of ours shows: thread, process, and the place in the code.

    These are the settings that logging's documentation names under "Optimization".
    """
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
