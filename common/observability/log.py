"""Logs: a file a service, lines that name their task, and a quiet Kafka client.

Threads that work for a task run inside `task_context(task_uuid)`; every line they write carries
`[task_uuid]`. What is written inside `request_context(request_id)` ends with `request_id=…`. As JSON a line
is an object with the same in fields of their own.
"""

import json
import logging
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Literal

Format = Literal["text", "json"]

_TEXT = "%(asctime)s %(levelname)s %(name)s %(task)s%(shown)s%(request)s"
# Whoever may write what a line holds must not write the file full.
_MAX_MESSAGE_CHARS = 4000
_MAX_EXCEPTION_CHARS = 20_000
_MAX_FILE_BYTES = 50 * 1024 * 1024
_KEPT_FILES = 5
# the class of an exception, or a TLS library's reason
_ERROR_NAME = re.compile(r"[A-Z]\w*Error\b|\b[A-Z]+(?:_[A-Z]+)+\b")

_task: ContextVar[str | None] = ContextVar("task_uuid", default=None)
_request: ContextVar[str | None] = ContextVar("request_id", default=None)


@contextmanager
def task_context(task_uuid: object) -> Iterator[None]:
    token = _task.set(str(task_uuid))
    try:
        yield
    finally:
        _task.reset(token)


@contextmanager
def request_context(request_id: str) -> Iterator[None]:
    token = _request.set(request_id)
    try:
        yield
    finally:
        _request.reset(token)


def current_request_id() -> str:
    """The request's that this thread, or asyncio task, works for; empty outside of one."""
    return _request.get() or ""


def printable(text: str) -> str:
    """`text` with an escape for each character that ends lines, controls terminals or turns the direction."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text) - most} characters more)"


class _ContextFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        task, request = _task.get(), _request.get()
        record.task_uuid, record.request_id = task or None, request or None
        record.task = f"[{task}] " if task else ""
        record.request = f" request_id={request}" if request else ""
        return True


class _TextFormatter(logging.Formatter):
    """A line for people: none can be forged by what a stranger's address, file name or error text holds."""

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def format(self, record: logging.LogRecord) -> str:
        record.shown = _cut(record.getMessage(), _MAX_MESSAGE_CHARS)
        record.asctime = self.formatTime(record)
        line = printable(self.formatMessage(record))
        return f"{line}\n{_indented(self.formatException(record.exc_info))}" if record.exc_info else line


def _indented(traceback: str) -> str:
    """So that none of its lines looks like a line of the log. The end is what tells the error."""
    lines = traceback[-_MAX_EXCEPTION_CHARS:].split("\n")
    return "\n".join(f"  {printable(line)}" for line in lines)


class _JsonFormatter(logging.Formatter):
    """An object a line with always the same fields, null where there is nothing to say."""

    def __init__(self, service: str):
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "service": self._service,
            "task_uuid": record.task_uuid,
            "request_id": record.request_id,
            "message": _cut(record.getMessage(), _MAX_MESSAGE_CHARS),
            "exception": (
                self.formatException(record.exc_info)[-_MAX_EXCEPTION_CHARS:] if record.exc_info else None
            ),
        }
        # in ASCII: whatever a stranger's name holds, and a line end in it too, is escaped
        return json.dumps(line)


class RateLimit(logging.Filter):
    """Lets `limit` records of each level pass in `period_s`: a lost broker floods the log.

    Beyond those, the first that names an error which no record has named in the period: the one that tells
    the reason may come last. The first of its level in a period says how many were left out before.
    """

    def __init__(self, limit: int, period_s: float, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._limit, self._period_s, self._clock = limit, period_s, clock
        self._began_s = clock()
        self._passed: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._named: set[str] = set()
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        with self._lock:
            passes, left_out = self._count(record)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more were left out before)", None
        return passes

    def _count(self, record: logging.LogRecord) -> tuple[bool, int]:
        """Whether it passes, and how many that did not it has to tell of."""
        now_s, level = self._clock(), record.levelname
        if now_s - self._began_s >= self._period_s:
            self._began_s = now_s
            self._passed.clear()
            self._named.clear()
        named = set(_ERROR_NAME.findall(record.getMessage()))
        is_first = not self._passed[level]
        passes = self._passed[level] < self._limit or not named <= self._named
        self._named |= named
        self._passed[level] += passes
        self._left_out[level] += not passes
        return passes, self._left_out.pop(level, 0) if is_first else 0


def configure(service: str, directory: Path, level: str = "INFO", format: Format = "text") -> None:
    """Logs to `directory/{service}.log` and to standard error. Raises OSError if it cannot be written."""
    directory.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        RotatingFileHandler(
            directory / f"{service}.log",
            maxBytes=_MAX_FILE_BYTES,
            backupCount=_KEPT_FILES,
            # whatever the locale, and whatever a file's or a stranger's name holds
            encoding="utf-8",
            errors="backslashreplace",
        ),
        logging.StreamHandler(sys.stderr),
    ]
    kafka_limit = RateLimit(limit=1, period_s=60)
    formatter = _JsonFormatter(service) if format == "json" else _TextFormatter()
    for handler in handlers:
        handler.setFormatter(formatter)
        handler.addFilter(_ContextFilter())
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(level)
    # Handlers see the records of child loggers, a logger's own filter does not: so the limit sits on a
    # handler that the client's whole tree goes through.
    kafka = logging.getLogger("kafka")
    kafka.setLevel("WARNING")
    kafka.propagate = False
    kafka.handlers[:] = [_Forward(root, kafka_limit)]
    for noisy in ("urllib3", "botocore", "boto3", "s3transfer"):
        logging.getLogger(noisy).setLevel("WARNING")


class _Forward(logging.Handler):
    def __init__(self, target: logging.Logger, limit: RateLimit):
        super().__init__()
        self._target = target
        self.addFilter(limit)

    def emit(self, record: logging.LogRecord) -> None:
        self._target.handle(record)
