"""Writes the stems of one song, in a process of its own."""

import queue
import resource
import sys
import time

from common.errors import ErrorCode, JobError, TransientError, is_disk_full
from processor import child_process
from processor.child_process import JsonObject

_REPORT_INTERVAL_S = 0.2


def main(arguments: list[str]) -> None:
    """Take one `WritingJob`; send {"progress"} now and then, and then {"code", …}: None with the gain."""
    channel, _ = child_process.attach(arguments)
    jobs: queue.SimpleQueue[JsonObject] = queue.SimpleQueue()
    child_process.serve(channel, jobs.put)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from processor.output import writing
    from processor.output.writing_job import WritingJob

    last_s = 0.0

    def report(fraction: float) -> None:
        nonlocal last_s
        if fraction >= 1 or time.monotonic() - last_s >= _REPORT_INTERVAL_S:
            last_s = time.monotonic()
            channel.send({"progress": fraction})

    try:
        gain = writing.write(WritingJob.from_json(jobs.get()), report)
    except (JobError, MemoryError, OSError) as error:
        channel.send(_as_answer(error))
    else:
        channel.send({"code": None, "gain": gain})


def _as_answer(error: Exception) -> JsonObject:
    # Leave out the error's own text, which may hold a path of this machine.
    if isinstance(error, JobError):
        permanent = not isinstance(error, TransientError)
        return {"code": error.code, "message": error.message, "permanent": permanent}
    if isinstance(error, MemoryError):
        code, message = ErrorCode.OUT_OF_MEMORY, "Memory ran out while the stems were written"
    elif is_disk_full(error):
        code, message = ErrorCode.DISK_FULL, "The disk is full"
    else:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        code, message = ErrorCode.INTERNAL_ERROR, f"The stems cannot be written: {reason}"
    return {"code": code, "message": message, "permanent": False}


if __name__ == "__main__":
    main(sys.argv[1:])
