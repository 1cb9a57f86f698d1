"""Runs in the engine's process: loads one model and separates one prepared mix after another.

Sends {"event": "ready" | "failed" | "progress" | "done" | "cancelled" | "error", …} and takes
{"do": "separate" | "cancel", …}. `separate` with "format": "float" asks for float stems, which the processor
finishes itself. The heavy imports stand in functions: `attach` must come before them.
"""

import logging
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, cast

from common.errors import Cancelled, ErrorCode, JobError, TransientError, is_disk_full
from processor import child_process
from processor.child_process import JsonObject
from processor.separation.device import Requested

if TYPE_CHECKING:
    from processor.audio.stem_writer import Format
    from processor.engine.warm_model import WarmModel
    from processor.models.model_files import ModelFiles
    from processor.preparation.decision import RequestedPrecision

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> None:
    """Serve the parent for ever; ends with exit code 1 where the model cannot be loaded."""
    channel, rest = child_process.attach(arguments)
    requests: queue.SimpleQueue[JsonObject] = queue.SimpleQueue()
    cancelled = threading.Event()

    def on_message(message: JsonObject) -> None:
        if message["do"] == "cancel":
            cancelled.set()
        else:
            cancelled.clear()
            requests.put(message)

    child_process.serve(channel, on_message)
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s engine: %(message)s")
    try:
        model, files = _warm_up(*rest)
    except Exception as error:  # noqa: BLE001 (the parent shows it in its health check)
        channel.send({"event": "failed", **_start_failure(error)})
        sys.exit(1)
    channel.send({"event": "ready", **model.describe(), "digests": [files.sha256, files.rest_sha256]})

    def report(fraction: float) -> None:
        channel.send({"event": "progress", "fraction": fraction})

    def check() -> None:
        if cancelled.is_set():
            raise Cancelled

    while True:
        message = requests.get()
        source, target_dir = Path(message["source"]), Path(message["target_dir"])
        separate = model.separate_to_floats if message.get("format") == "float" else model.separate
        try:
            channel.send({"event": "done", **separate(source, target_dir, report, check)})
        except Cancelled:
            channel.send({"event": "cancelled"})
        except child_process.ChannelClosed:
            raise
        except Exception as error:  # noqa: BLE001 (the loop's edge: one bad job must not cost the warm model)
            channel.send({"event": "error", **_describe(error)})


def _warm_up(
    model_name: str, model_dir: str, device: str, precision: str, output_format: str
) -> "tuple[WarmModel, ModelFiles]":
    """Return the loaded model and its files. Raises ModelUnavailable and DeviceUnavailable."""
    from processor.models import model_files

    files = model_files.ensure(model_name, Path(model_dir), fetch=False)
    # Import what computes after that check, which answers at once where a file is missing.
    from processor.engine import warm_model

    model = warm_model.load(
        files,
        cast(Requested, device),
        cast("RequestedPrecision", precision),
        cast("Format", output_format),
    )
    return model, files


def _start_failure(error: Exception) -> JsonObject:
    from processor.separation import batches

    reason = str(error) or type(error).__name__
    return {"reason": reason, "out_of_memory": batches.is_out_of_memory(error)}


def _describe(error: Exception) -> JsonObject:
    from processor.separation import batches

    if isinstance(error, JobError):
        return {
            "code": error.code,
            "message": error.message,
            "permanent": not isinstance(error, TransientError),
        }
    text = f"{type(error).__name__}: {error}"
    code = ErrorCode.INTERNAL_ERROR
    if batches.is_out_of_memory(error):
        code = ErrorCode.OUT_OF_MEMORY
    elif is_disk_full(error):
        code, text = ErrorCode.DISK_FULL, f"Disk full: {error}"
    log.warning("separation failed", exc_info=error)
    return {"code": code, "message": text, "permanent": False}


if __name__ == "__main__":
    main(sys.argv[1:])
