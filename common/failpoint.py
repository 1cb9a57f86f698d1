"""Named points at which a test ends or stops the process, off unless the variable FAILPOINT names one.

`FAILPOINT=name` kills the process with SIGKILL when it gets there; `FAILPOINT=name:stop` freezes it with
SIGSTOP the first time. No setting of a user's: see KAFKA_CONSUMER.md, "For developers".
"""

import os
import signal
import threading
from enum import StrEnum

from common.settings.loading import exit_for_bad_settings

VARIABLE = "FAILPOINT"


class Failpoint(StrEnum):
    """What the process has just done, or is about to do."""

    API_BEFORE_SEND = "api-before-send"
    API_ACKNOWLEDGED = "api-acknowledged"
    DOWNLOADING = "downloading"
    SEPARATING = "separating"
    STAGING = "staging"
    STAGED = "staged"
    BETWEEN_PARTS = "between-parts"
    BETWEEN_STEMS = "between-stems"
    UPLOADED = "uploaded"
    MANIFEST_WRITTEN = "manifest-written"
    CALLBACK_ANSWERED = "callback-answered"
    # Its messages are acknowledged, its offsets not sent.
    JOB_SENT = "job-sent"
    # A transaction with messages ends a try of a job: a result, a record that waits, a dead letter.
    JOB_IN_TRANSACTION = "job-in-transaction"
    JOB_COMMITTED = "job-committed"
    # One without begins an attempt, or hands it back.
    ATTEMPT_IN_TRANSACTION = "attempt-in-transaction"
    ATTEMPT_COMMITTED = "attempt-committed"

    def reach(self) -> None:
        """Ends or stops the process if this is the point that FAILPOINT names."""
        global _armed
        if self is _armed:
            _armed = None
            # To this thread, which then does not get past this line before the whole process stands.
            signal.pthread_kill(threading.get_ident(), _signal)


def _read(value: str) -> tuple[Failpoint | None, signal.Signals]:
    name, _, how = value.partition(":")
    if name in [*Failpoint, ""] and how in ("", "stop") and (name or not how):
        return Failpoint(name) if name else None, signal.SIGSTOP if how else signal.SIGKILL
    exit_for_bad_settings(f"{VARIABLE}={value}: expected one of {', '.join(Failpoint)}, alone or with :stop")


_armed, _signal = _read(os.environ.get(VARIABLE, ""))
