"""Sets up logging: a file for each service, lines that name their task, and a quiet Kafka client.

Threads that work for a task run inside `task_context(task_uuid)`: each of their lines carries `[task_uuid]`.
Lines that are written inside `request_context(request_id)` end with `request_id=…`. In the JSON format a line
is an object, with a field for each of the two.
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
from pathlib import Path
from typing import Any, Literal

from common.observability.log_output import Clock, FormatOnce, LogFile, leave_out_unshown_fields

Format = Literal["text", "json"]

# A stranger's text in a line must not fill the file.
_MAX_MESSAGE_CHARS = 4000
_MAX_EXCEPTION_CHARS = 20_000
_MAX_FILE_BYTES = 50 * 1024 * 1024
_KEPT_FILES = 5
# The class of an exception, or the reason that a TLS library gives.
_ERROR_NAME = re.compile(r"[A-Z]\w*Error\b|\b[A-Z]+(?:_[A-Z]+)+\b")

# A user may put a key of the api anywhere, such as into a path. Its id may be logged, its secret may not.
_API_KEY = re.compile(r"(uvr_[0-9a-f]{12}_)[0-9a-f]+")

_task: ContextVar[str | None] = ContextVar("task_uuid", default=None)
_request: ContextVar[str | None] = ContextVar("request_id", default=None)


@contextmanager
def task_context(task_uuid: object) -> Iterator[None]:
    """Makes the lines that are logged inside it name this task."""
    token = _task.set(str(task_uuid))
    try:
        yield
    finally:
        _task.reset(token)


@contextmanager
def request_context(request_id: str) -> Iterator[None]:
    """Makes the lines that are logged inside it name this request."""
    token = _request.set(request_id)
    try:
        yield
    finally:
        _request.reset(token)


def current_request_id() -> str:
    """Returns the id of the request that this thread or asyncio task works for; empty if for none."""
    return _request.get() or ""


def printable(text: str) -> str:
    """Escapes each character that ends lines, controls terminals or changes the direction of the text."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _without_keys(text: str) -> str:
    return _API_KEY.sub(r"\1…", text) if "uvr_" in text else text


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text) - most} characters more)"


class _Formatter(logging.Formatter):
    """Leaves the secrets of keys out of tracebacks."""

    def formatException(self, ei: Any) -> str:  # logging's own name
        return _without_keys(super().formatException(ei))


class _TextFormatter(_Formatter):
    """Writes a line for people. No address, file name or error text from a stranger can forge a line."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = Clock()

    def format(self, record: logging.LogRecord) -> str:
        task, request = _task.get(), _request.get()
        shown = _cut(_without_keys(record.getMessage()), _MAX_MESSAGE_CHARS)
        line = printable(
            f"{self._clock.text(record.created)} {record.levelname} {record.name} "
            f"{f'[{task}] ' if task else ''}{shown}{f' request_id={request}' if request else ''}"
        )
        return f"{line}\n{_indented(self.formatException(record.exc_info))}" if record.exc_info else line


def _indented(traceback: str) -> str:
    """Indents each line, so that none looks like a line of the log. Keeps the end, which names the error."""
    lines = traceback[-_MAX_EXCEPTION_CHARS:].split("\n")
    return "\n".join(f"  {printable(line)}" for line in lines)


class _JsonFormatter(_Formatter):
    """Writes a JSON object a line. The fields are always the same; a field without a value is null."""

    def __init__(self, service: str):
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "service": self._service,
            "task_uuid": _task.get() or None,
            "request_id": _request.get() or None,
            "message": _cut(_without_keys(record.getMessage()), _MAX_MESSAGE_CHARS),
            "exception": (
                self.formatException(record.exc_info)[-_MAX_EXCEPTION_CHARS:] if record.exc_info else None
            ),
        }
        # JSON in ASCII escapes everything else in a stranger's text, line ends too.
        return json.dumps(line)


class RateLimit(logging.Filter):
    """Lets `limit` records of each level pass in `period_s` seconds: a lost broker would flood the log.

    The reason of a failure may come last. So a record beyond the limit passes, too, if it names an error that
    no other record has named in the period. The first record of its level in a period says how many were left
    out before.
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
        """Returns whether the record passes, and how many records it must say were left out before."""
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
    """Logs to `directory/{service}.log` and to standard error. Raises OSError if that fails."""
    directory.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        LogFile(
            directory / f"{service}.log",
            maxBytes=_MAX_FILE_BYTES,
            backupCount=_KEPT_FILES,
            # The locale must not matter, nor the characters in a name.
            encoding="utf-8",
            errors="backslashreplace",
        ),
        logging.StreamHandler(sys.stderr),
    ]
    kafka_limit = RateLimit(limit=1, period_s=60)
    formatter = FormatOnce(_JsonFormatter(service) if format == "json" else _TextFormatter())
    leave_out_unshown_fields()
    for handler in handlers:
        handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(level)
    # The limit is on a handler, which sees the records of all of the client's loggers. A logger's own filter
    # does not see the records of its children.
    kafka = logging.getLogger("kafka")
    kafka.setLevel("WARNING")
    kafka.propagate = False
    kafka.handlers[:] = [_Forward(root, kafka_limit)]
    for noisy in ("urllib3", "botocore", "boto3", "s3transfer"):
        logging.getLogger(noisy).setLevel("WARNING")


class _Forward(logging.Handler):
    """Passes the records within the limit on to another logger's handlers."""

    def __init__(self, target: logging.Logger, limit: RateLimit):
        super().__init__()
        self._target = target
        self.addFilter(limit)

    def emit(self, record: logging.LogRecord) -> None:
        self._target.handle(record)
