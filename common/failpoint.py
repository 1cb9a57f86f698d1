"""Named points at which a test kills or freezes the process. Users do not set them.

`FAILPOINT=name` kills the process with SIGKILL when it reaches the point. `FAILPOINT=name:stop` freezes it
with SIGSTOP instead. Without the variable nothing happens. See KAFKA_CONSUMER.md, "For developers".
"""

import os
import signal
import threading
from enum import StrEnum

from common.settings.loading import exit_for_bad_settings

VARIABLE = "FAILPOINT"


class Failpoint(StrEnum):
    """The points, each named after the step that was just done or comes next."""

    API_BEFORE_SEND = "api-before-send"
    API_ACKNOWLEDGED = "api-acknowledged"
    # The upload is marked as used by the task, which is not sent yet.
    API_UPLOAD_MARKED = "api-upload-marked"
    # The messages of a batch are acknowledged, their transaction is not committed yet.
    SENT_TOGETHER = "sent-together"
    DOWNLOADING = "downloading"
    SEPARATING = "separating"
    STAGING = "staging"
    STAGED = "staged"
    BETWEEN_PARTS = "between-parts"
    BETWEEN_STEMS = "between-stems"
    UPLOADED = "uploaded"
    MANIFEST_WRITTEN = "manifest-written"
    CALLBACK_ANSWERED = "callback-answered"
    # A batch's callback is delivered and marked so, and nothing of that is committed.
    BATCH_CALLED = "batch-called"
    STEM_DELETED = "stem-deleted"
    RESULTS_DELETED = "results-deleted"
    # The job's messages are acknowledged, its offsets are not sent yet.
    JOB_SENT = "job-sent"
    # The transaction of a job that has ended: it holds a result, a retry or a dead letter.
    JOB_IN_TRANSACTION = "job-in-transaction"
    JOB_COMMITTED = "job-committed"
    # A transaction without messages: it begins an attempt, or hands one back.
    ATTEMPT_IN_TRANSACTION = "attempt-in-transaction"
    ATTEMPT_COMMITTED = "attempt-committed"

    def reach(self) -> None:
        """Kills or freezes the process if FAILPOINT names this point. Freezes it once only."""
        global _armed
        if self is _armed:
            _armed = None
            # Signal this thread: it then cannot pass this line before the whole process stands still.
            signal.pthread_kill(threading.get_ident(), _signal)


def arm(value: str) -> None:
    """Take what FAILPOINT says; empty for no point. Ends the process where it names none."""
    global _armed, _signal
    name, _, how = value.partition(":")
    if name not in [*Failpoint, ""] or how not in ("", "stop") or (how and not name):
        exit_for_bad_settings(
            f"{VARIABLE}={value}: expected one of {', '.join(Failpoint)}, alone or with :stop"
        )
    _armed = Failpoint(name) if name else None
    _signal = signal.SIGSTOP if how else signal.SIGKILL


_armed: Failpoint | None = None
_signal = signal.SIGKILL
arm(os.environ.get(VARIABLE, ""))
