"""Decodes a stranger's file, in a process with limits on memory, time, file size and open files."""

import dataclasses
import errno
import json
import resource
import sys
from pathlib import Path

from common.errors import ErrorCode, PermanentError, is_disk_full
from processor import child_process
from processor.child_process import JsonObject

_OPEN_FILES = 64


def main(arguments: list[str]) -> None:
    """Decode one file and send one message: the fields of `Decoded` and `tags`, or an error's `code`."""
    channel, (text,) = child_process.attach(arguments)
    child_process.serve(channel, lambda message: None)
    from processor.audio import decode, song_tags
    from processor.audio.window import Window

    request = json.loads(text)
    own = Path(request["own"]) if request["own"] else None
    _limit(**request["process"])
    channel.send({"ready": True})  # from here on only the file can end this process
    try:
        result = decode.decode(
            Path(request["source"]),
            Path(request["target"]),
            **request["limits"],
            window=Window(**request["window"]),
            own=own,
        )
        kept = (
            song_tags.read(Path(request["source"]), Path(request["target"])) if request["keep_tags"] else None
        )
    except PermanentError as error:
        channel.send({"code": error.code, "message": error.message, "permanent": True})
    except MemoryError:
        message = "The file is not audio that we can read: decoding it takes too much memory"
        channel.send({"code": ErrorCode.NOT_AUDIO, "message": message, "permanent": True})
    except OSError as error:
        channel.send(_as_answer(error))
    else:
        found = dataclasses.asdict(result) | {"tags": dataclasses.asdict(kept) if kept else None}
        channel.send({"code": None, **found})


def _as_answer(error: OSError) -> JsonObject:
    # Leave out the error's own text, which holds a path of this machine.
    if error.errno == errno.EFBIG:
        message = "The audio is longer than its decoder may write"
        return {"code": ErrorCode.TOO_LONG, "message": message, "permanent": True}
    if is_disk_full(error):
        return {"code": ErrorCode.DISK_FULL, "message": "The disk is full", "permanent": False}
    message = f"Decoding failed: {error.strerror}"
    return {"code": ErrorCode.INTERNAL_ERROR, "message": message, "permanent": False}


def _limit(memory_bytes: int, cpu_s: int, file_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))


if __name__ == "__main__":
    main(sys.argv[1:])
