"""Times a network's runs, and on demand the other stages of a separation, by wrapping their calls."""

import functools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from bench.run_cpu import RunCpu

NETWORK = "network"
READING, STFT, INVERSE_STFT = "reading", "STFT", "inverse STFT"
OVERLAP_ADD, WRITING = "overlap-add", "writing"
# in the order of the work
STAGES = (READING, STFT, NETWORK, INVERSE_STFT, OVERLAP_ADD, WRITING)
_WAITING = "waiting"


@dataclass(frozen=True)
class _Place:
    """A method of a class, or a function where `owner` is empty, that does the work of one stage."""

    stage: str
    module: str
    owner: str
    name: str


_VR = "audio_separator.separator.uvr_lib_v5.vr_network"
_RUNTIMES = "processor.separation.runtimes"
# All runs of a network, of the engine and of the library. Change this where networks run elsewhere.
_RUNS = (
    # The engine's, around what follows: a CUDA graph runs without its module, ONNX in place by another call.
    _Place(NETWORK, f"{_RUNTIMES}.torch_core", "TorchCore", "__call__"),
    _Place(NETWORK, f"{_RUNTIMES}.onnx_core", "OnnxCore", "__call__"),
    _Place(NETWORK, f"{_RUNTIMES}.onnx_network", "OnnxNetwork", "__call__"),
    _Place(NETWORK, f"{_RUNTIMES}.openvino_network", "OpenVinoNetwork", "__call__"),
    _Place(NETWORK, "onnxruntime", "InferenceSession", "run"),
    _Place(NETWORK, "torch.nn", "Module", "__call__"),
    # VR's networks call their own `forward`.
    _Place(NETWORK, f"{_VR}.nets", "CascadedASPPNet", "predict_mask"),
    _Place(NETWORK, f"{_VR}.nets_new", "CascadedNet", "predict_mask"),
)
_SPECTRUM = "processor.separation.architectures.spectrum"
_ARRAY_SPECTRUM = "processor.separation.architectures.array_spectrum"
_STFT_MODULE = "processor.separation.architectures.stft"
_MDXC_BY_ARRAYS = "processor.separation.architectures.mdxc_by_arrays"
_VR_BANDS = "processor.separation.architectures.vr_bands"
_STREAMING = "processor.separation.streaming"
# The engine's other stages. `torch.stft` and `torch.istft` are seen by a function mode.
_STAGES = (
    _Place(READING, "soundfile", "SoundFile", "read"),
    _Place(STFT, _SPECTRUM, "Spectrum", "of"),
    _Place(INVERSE_STFT, _SPECTRUM, "Spectrum", "samples"),
    _Place(STFT, _ARRAY_SPECTRUM, "ArraySpectrum", "of"),
    _Place(INVERSE_STFT, _ARRAY_SPECTRUM, "ArraySpectrum", "samples"),
    _Place(STFT, _STFT_MODULE, "Stft", "spectra"),
    _Place(INVERSE_STFT, _STFT_MODULE, "Stft", "samples"),
    _Place(STFT, _MDXC_BY_ARRAYS, "RoformerEnds", "_spectra"),
    _Place(INVERSE_STFT, _MDXC_BY_ARRAYS, "RoformerEnds", "_samples"),
    _Place(STFT, _VR_BANDS, "VrBands", "spectrogram"),
    _Place(INVERSE_STFT, _VR_BANDS, "VrBands", "samples"),
    _Place(OVERLAP_ADD, _STREAMING, "", "_spool_answers"),
    _Place(WRITING, _STREAMING, "", "_write_stems"),
    _Place(_WAITING, "concurrent.futures", "Future", "result"),
)


class Stopwatch:
    """Sums up times by stage; the time of a stage within another counts for the inner one only.

    Times of several threads add up, so their sum can be larger than the wall time.
    """

    def __init__(self, is_cuda: bool):
        self._is_cuda = is_cuda
        self._wrapped: set[_Place] = set()
        self._own = threading.local()
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.runs, self._run_cpu = 0, RunCpu()
        self._times_s: Counter[str] = Counter()

    @property
    def run_s(self) -> float:
        """The time of the network's runs so far, without transforms within them where stages are timed."""
        return self._times_s[NETWORK]

    @property
    def run_cpu_s(self) -> float:
        """The CPU time of the network's runs so far."""
        return self._run_cpu.cpu_s

    @property
    def stages(self) -> dict[str, float]:
        """The time of each stage so far, in seconds."""
        return {stage: self._times_s[stage] for stage in STAGES if stage in self._times_s}

    def wrap_runs(self) -> None:
        """Wrap the networks' runs. Call this before each separation, which may have imported modules."""
        self._wrap(_RUNS)

    @contextmanager
    def all_stages(self) -> Iterator[None]:
        """Time all stages from now on, and transforms within the context."""
        self._wrap(_STAGES)
        with self._transforms():
            yield

    def _transforms(self) -> AbstractContextManager[object]:
        """Time torch's own transforms, where torch is loaded: an engine without it stays without it."""
        if "torch" not in sys.modules:
            return nullcontext()
        from bench.torch_transforms import TorchTransforms

        return TorchTransforms(self.timing, STFT, INVERSE_STFT)

    def _wrap(self, places: tuple[_Place, ...]) -> None:
        for place in places:
            module = sys.modules.get(place.module)
            if module is None or place in self._wrapped:
                continue
            owner = getattr(module, place.owner) if place.owner else module
            setattr(owner, place.name, self._timed(place.stage, getattr(owner, place.name)))
            self._wrapped.add(place)

    def _timed(self, stage: str, original: Callable) -> Callable:
        @functools.wraps(original)
        def timed(*args, **kwargs):
            # A network's modules call each other: only the outermost call is a run.
            if stage in self._open_stages():
                return original(*args, **kwargs)
            with self.timing(stage, chunks(args)):
                return original(*args, **kwargs)

        return timed

    def _open_stages(self) -> list[str]:
        if not hasattr(self._own, "stages"):
            self._own.stages, self._own.since_s = [], 0.0
        return self._own.stages

    @contextmanager
    def timing(self, stage: str, runs: int = 1) -> Iterator[None]:
        """Count the context's time for `stage`, and not for the stage around it.

        `runs` are the chunks that the network runs on: a GPU takes several at once.
        """
        stages = self._open_stages()
        self._switch()
        stages.append(stage)
        if stage == NETWORK:
            self._run_cpu.begin()
        try:
            yield
        finally:
            self._switch()
            stages.pop()
            if stage == NETWORK:
                self._run_cpu.end()
                with self._lock:
                    self.runs += runs

    def _switch(self) -> None:
        """Count the time since the last switch of this thread for the innermost stage."""
        if self._is_cuda:
            import torch

            # This stream only: to wait for the whole device is an error while a CUDA graph is captured.
            torch.cuda.current_stream().synchronize()
        now_s = time.perf_counter()
        if self._own.stages:
            with self._lock:
                self._times_s[self._own.stages[-1]] += now_s - self._own.since_s
        self._own.since_s = now_s


def chunks(args: tuple) -> int:
    """Return the chunks in a network's arguments: the length of the first array, also in a dictionary."""
    for value in args:
        array = next(iter(value.values()), None) if isinstance(value, dict) else value
        if shape := getattr(array, "shape", None):
            return int(shape[0])
    return 1
