"""The engine's process: one warm model that separates one prepared mix after another.

Sends {"event": "ready" | "failed" | "progress" | "done" | "error", ...}; takes {"do": "separate" | "cancel"}.
"""

import logging
import queue
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

from common.errors import Cancelled, ErrorCode, JobError, TransientError, is_disk_full
from processor import child_process

_PROGRESS_INTERVAL_S = 0.2


def main(arguments: list[str]) -> None:
    link, rest = child_process.attach(arguments)
    model_name, model_dir, device, output_format = rest
    requests: queue.SimpleQueue[dict] = queue.SimpleQueue()
    cancelled = threading.Event()

    def on_message(message: dict) -> None:
        if message["do"] == "cancel":
            cancelled.set()
        else:
            cancelled.clear()
            requests.put(message)

    child_process.serve(link, on_message)
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s engine: %(message)s")
    try:
        job = _warm_up(model_name, Path(model_dir), device, output_format)
    except Exception as error:  # noqa: BLE001 (told to the parent, which says it in its health check)
        link.send({"event": "failed", "reason": str(error) or type(error).__name__})
        sys.exit(1)
    link.send({"event": "ready", **job.describe()})
    while True:
        message = requests.get()
        link.send(job.run(link, cancelled, Path(message["source"]), Path(message["target_dir"])))


def _warm_up(model_name: str, model_dir: Path, requested: str, output_format: str) -> "_Job":
    from processor.models import model_files
    from processor.separation import device

    files = model_files.ensure(model_name, model_dir, fetch=False)

    # torch before onnxruntime: its CUDA libraries are those that preload_dlls() then finds.
    import torch

    torch.set_num_interop_threads(1)
    cuda_visible = requested != "cpu" and torch.cuda.is_available()
    choice = device.choose(requested, cuda_visible, _onnx_providers(files.architecture))
    if choice == device.CUDA:
        _preload_cuda(files.architecture)

    from processor.separation import loaded_model, streaming

    loaded = loaded_model.load(files, choice)
    used = device.confirm(requested, loaded.placement)
    return _Job(streaming, loaded, used, output_format)


def _onnx_providers(architecture: str) -> list[str] | None:
    if architecture != "MDX":
        return None
    import onnxruntime

    return onnxruntime.get_available_providers()


def _preload_cuda(architecture: str) -> None:
    if architecture == "MDX":
        import onnxruntime

        onnxruntime.preload_dlls()


class _Job:
    def __init__(self, separator: ModuleType, network, device: str, output_format: str):
        self._separator = separator
        self._network, self._device, self._format = network, device, output_format

    def describe(self) -> dict:
        return {"model": self._network.name, "device": self._device}

    def run(
        self, link: child_process.Link, cancelled: threading.Event, source: Path, target_dir: Path
    ) -> dict:
        separator = self._separator

        def check() -> None:
            if cancelled.is_set():
                raise Cancelled

        try:
            stems = separator.separate(
                self._network, source, target_dir, self._format, _progress_sender(link), check
            )
        except Cancelled:
            return {"event": "cancelled"}
        except Exception as error:  # noqa: BLE001 (the loop's edge: one bad job must not cost the warm model)
            return {"event": "error", **_describe(error)}
        return {
            "event": "done",
            "stems": {name: str(separator.stem_path(target_dir, name, self._format)) for name in stems.names},
            "frames": stems.frames,
            "gain": stems.gain,
        }


def _progress_sender(link: child_process.Link):
    last_s = 0.0

    def send(fraction: float) -> None:
        nonlocal last_s
        if fraction >= 1 or time.monotonic() - last_s >= _PROGRESS_INTERVAL_S:
            last_s = time.monotonic()
            link.send({"event": "progress", "fraction": fraction})

    return send


def _describe(error: Exception) -> dict:
    from processor.separation import batches  # brings numpy, which must not delay attach()

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
