"""Runs in the engine's process: loads one model and separates one prepared mix after another.

Sends {"event": "ready" | "failed" | "progress" | "done" | "cancelled" | "error", …} and takes
{"do": "separate" | "cancel", …}. The heavy imports stand in functions: `attach` must come before them.
"""

import logging
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from common.errors import Cancelled, ErrorCode, JobError, TransientError, is_disk_full
from processor import child_process
from processor.child_process import JsonObject
from processor.separation.device import Device, Requested

if TYPE_CHECKING:
    from processor.audio.stem_writer import Format
    from processor.separation.loaded_model import LoadedModel

_PROGRESS_INTERVAL_S = 0.2


def main(arguments: list[str]) -> None:
    """Serve the parent for ever; ends with exit code 1 where the model cannot be loaded."""
    channel, rest = child_process.attach(arguments)
    model_name, model_dir, device, output_format = rest
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
        model = _warm_up(model_name, Path(model_dir), cast(Requested, device), cast("Format", output_format))
    except Exception as error:  # noqa: BLE001 (the parent shows it in its health check)
        channel.send({"event": "failed", "reason": str(error) or type(error).__name__})
        sys.exit(1)
    channel.send({"event": "ready", **model.describe()})
    while True:
        message = requests.get()
        channel.send(model.run(channel, cancelled, Path(message["source"]), Path(message["target_dir"])))


def _warm_up(model_name: str, model_dir: Path, requested: Requested, output_format: "Format") -> "_WarmModel":
    from processor.models import model_files
    from processor.separation import device

    files = model_files.ensure(model_name, model_dir, fetch=False)

    # Import torch before onnxruntime: preload_dlls() then finds the CUDA libraries of torch.
    import torch

    torch.set_num_interop_threads(1)
    cuda_visible = requested != "cpu" and torch.cuda.is_available()
    choice = device.choose(requested, cuda_visible, _onnx_providers(files.architecture))
    if choice == device.CUDA:
        _preload_cuda(files.architecture)

    from processor.separation import loaded_model

    loaded = loaded_model.load(files, choice)
    used = device.confirm(requested, loaded.placement)
    return _WarmModel(loaded, used, output_format)


def _onnx_providers(architecture: str) -> list[str] | None:
    if architecture != "MDX":
        return None
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def _preload_cuda(architecture: str) -> None:
    if architecture == "MDX":
        import onnxruntime

        onnxruntime.preload_dlls()


class _WarmModel:
    """A loaded model and how its stems are written."""

    def __init__(self, model: "LoadedModel", device: Device, output_format: "Format"):
        from processor.separation import streaming  # here, so that the first song need not wait for it

        self._separate, self._stem_path = streaming.separate, streaming.stem_path
        self._model, self._device, self._format = model, device, output_format

    def describe(self) -> JsonObject:
        return {"model": self._model.name, "device": self._device}

    def run(
        self, channel: child_process.Channel, cancelled: threading.Event, source: Path, target_dir: Path
    ) -> JsonObject:
        """Separate one mix; return the message that tells the parent how it ended."""

        def check() -> None:
            if cancelled.is_set():
                raise Cancelled

        try:
            stems = self._separate(
                self._model, source, target_dir, self._format, _progress_sender(channel), check
            )
        except Cancelled:
            return {"event": "cancelled"}
        except Exception as error:  # noqa: BLE001 (the loop's edge: one bad job must not cost the warm model)
            return {"event": "error", **_describe(error)}
        return {
            "event": "done",
            "stems": {name: str(self._stem_path(target_dir, name, self._format)) for name in stems.names},
            "frames": stems.frames,
            "gain": stems.gain,
        }


def _progress_sender(channel: child_process.Channel) -> Callable[[float], None]:
    last_s = 0.0

    def send(fraction: float) -> None:
        nonlocal last_s
        if fraction >= 1 or time.monotonic() - last_s >= _PROGRESS_INTERVAL_S:
            last_s = time.monotonic()
            channel.send({"event": "progress", "fraction": fraction})

    return send


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
    logging.getLogger(__name__).warning("separation failed", exc_info=error)
    return {"code": code, "message": text, "permanent": False}


if __name__ == "__main__":
    main(sys.argv[1:])
