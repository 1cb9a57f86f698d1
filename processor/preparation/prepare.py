"""Decides once how a model's networks are computed on this device, and keeps the decision beside the model.

The networks are converted for OpenVINO where the device is a CPU. Then the known song is separated, in
float32 and in a faster precision, and the gate compares the stems.
"""

import fcntl
import gc
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile

from processor.models.model_files import ModelFiles
from processor.preparation import conversion, decision, gate, known_song
from processor.preparation.decision import CoreFile, Decision, RequestedPrecision
from processor.preparation.gate import Trial
from processor.preparation.machine import Machine
from processor.separation import loaded_model, streaming
from processor.separation.batches import is_out_of_memory
from processor.separation.device import CPU, DeviceChoice
from processor.separation.loaded_model import LoadedModel
from processor.separation.runtimes.core import Plan
from processor.separation.runtimes.precisions import fast_precision
from processor.separation.streaming import NotFinite

Report = Callable[[str], None]
Begin = Callable[[Path], None]
CheckStop = Callable[[], None]

_LONG_TRIAL_S = 5.0
_MORE_TRIALS = 2
_REMOVAL_S, _LOOK_S = 5.0, 0.1
_TRIAL_PREFIX = ".trial-"


@dataclass(frozen=True)
class Target:
    """Names what a model is prepared for: a device, and the precision that the operator asked for."""

    device: DeviceChoice
    machine: Machine
    requested: RequestedPrecision


def prepare(
    files: ModelFiles, target: Target, report: Report, begin: Begin, check_stop: CheckStop, anew: bool = False
) -> Decision:
    """Return the kept decision, or make it now, which takes seconds to minutes. `report` gets each step.

    `begin` gets the path of the decision before it is made: who kills this process in good order calls
    decision.forget_unfinished with it. `check_stop` raises SystemExit where this process has been stopped.
    `anew` takes over nothing, neither decisions nor networks: networks without a decision could be damaged.

    Raises ModelUnavailable where the model cannot be loaded, JobError where disk or memory are full, and
    OSError.
    """
    with _lock(files, report) as has_waited:
        if anew:
            # The networks first: without them a decision counts no more, also if this process is killed here.
            conversion.forget(files)
            decision.forget(files)
        elif kept := _kept(files, target, has_waited):
            if decision.plan(files, kept):
                return kept
            conversion.discard(files, kept)
        # A preparation that memory or an operator has ended is not begun again at each start.
        marker = _decided(files, target, _own(files), decision.unfinished(files.name))
        path = decision.path_of(files, target.machine, target.requested)
        begin(path)
        try:
            decision.write(files, target.machine, target.requested, marker)
            try:
                made = _decide(files, target, report)
            finally:
                # Libraries in C++ call Python, and make an error of their own of a stop that is raised there.
                check_stop()
            decision.write(files, target.machine, target.requested, made)
        except (KeyboardInterrupt, SystemExit):  # a stop says nothing against another try
            decision.forget_unfinished(path)
            raise
        return made


def _kept(files: ModelFiles, target: Target, has_waited: bool) -> Decision | None:
    """Return the decision that is kept. Call this with the lock held.

    Who stops a preparation removes its marker a moment after its lock has gone. So whoever `has_waited` for
    that lock looks a while longer before taking the marker for that of a preparation that has died.
    """
    end_s = time.monotonic() + (_REMOVAL_S if has_waited else 0.0)
    while True:
        kept = decision.read(files, target.machine, target.requested)
        if kept is None or kept.is_finished or time.monotonic() >= end_s:
            return kept
        time.sleep(_LOOK_S)


@contextmanager
def _lock(files: ModelFiles, report: Report) -> Iterator[bool]:
    """Let one process at a time prepare the model: others take over what it has decided.

    Yields whether another process had the lock at first.
    """
    directory = decision.directory(files)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("a") as file:
        has_waited = False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            has_waited = True
            report(f"waiting for another process that prepares {files.name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        for left in directory.glob(f"{_TRIAL_PREFIX}*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        conversion.remove_partial(files)
        yield has_waited


def _decide(files: ModelFiles, target: Target, report: Report) -> Decision:
    own, why = _own(files), "the runtime of the model's files"
    exact, fast = own, Plan(own.runtime, "fp16")
    if target.device == CPU:
        converted = conversion.convert(files, report)
        why, exact = converted.reason, converted.exact or own
        fast = Plan("openvino", "bf16", converted.core_files)
    report(f"separating a known song with {files.name}")
    precision = fast_precision(fast, target.device)
    if target.requested not in ("auto", "fp32", precision):
        why = f"{why}; this device does not compute the model in {target.requested}"
    if precision is None or target.requested not in ("auto", precision):
        return _decided(files, target, exact, why, *_trials(files, target, exact))
    return _judged(files, target, (exact, replace(fast, precision=precision)), why)


def _judged(files: ModelFiles, target: Target, plans: tuple[Plan, Plan], why: str) -> Decision:
    """Return the decision between a plan in float32 and one in a faster precision.

    Raises what says nothing about the precision, such as a full disk: another try may end otherwise.
    """
    exact, fast = plans
    try:
        exact_trial, fast_trial = _trials(files, target, exact, fast)
    except (NotFinite, RuntimeError) as error:
        # RuntimeError: the device lacks an operation in this precision.
        if is_out_of_memory(error) or isinstance(error, soundfile.SoundFileError):
            raise
        reason = f"{why}; not {fast.precision}: {error}"
        return _decided(files, target, exact, reason, *_trials(files, target, exact))
    if target.requested == fast.precision:
        return _decided(files, target, fast, f"{why}; PRECISION={fast.precision}", fast_trial)
    verdict = gate.judge(exact_trial, fast_trial, known_song.stems())
    if verdict.admitted:
        return _decided(files, target, fast, f"{why}; {fast.precision}: {verdict.reason}", fast_trial)
    return _decided(files, target, exact, f"{why}; not {fast.precision}: {verdict.reason}", exact_trial)


def _own(files: ModelFiles) -> Plan:
    """Return the plan without any conversion: the runtime that the model's files are made for."""
    return Plan("onnxruntime" if files.architecture == "MDX" else "torch")


def _trials(files: ModelFiles, target: Target, *plans: Plan) -> list[Trial]:
    """Separate the known song by each plan: in turn, or one plan after the other where memory holds only one.

    Raises NotFinite, and what is raised where memory runs out.
    """
    try:
        return _trials_in_turn(files, target, plans)
    except Exception as error:
        if len(plans) == 1 or not is_out_of_memory(error):
            raise
    gc.collect()  # what holds the networks may be in circles
    return [trial for plan in plans for trial in _trials_in_turn(files, target, (plan,))]


def _trials_in_turn(files: ModelFiles, target: Target, plans: Sequence[Plan]) -> list[Trial]:
    """Separate the known song by each plan, in turn and several times where that is short.

    Each trial has its shortest time, since other work on the machine disturbs. Raises as `_trials`.
    """
    models = [loaded_model.load(files, target.device, plan) for plan in plans]
    with tempfile.TemporaryDirectory(prefix=_TRIAL_PREFIX, dir=decision.directory(files)) as name:
        directory = Path(name)
        mix = known_song.write_mix(directory)
        trials = [_trial(model, mix, directory) for model in models]
        for _ in range(_MORE_TRIALS):
            if max(trial.took_s for trial in trials) > _LONG_TRIAL_S:
                break
            again = [_trial(model, mix, directory) for model in models]
            trials = [min(pair, key=lambda trial: trial.took_s) for pair in zip(trials, again, strict=True)]
        return trials


def _trial(model: LoadedModel, mix: Path, directory: Path) -> Trial:
    began_s = time.monotonic()
    stems = streaming.separate(model, mix, directory, "wav", lambda fraction: None, lambda: None)
    took_s = time.monotonic() - began_s
    paths = {stem: streaming.stem_path(directory, stem, "wav") for stem in stems.names}
    return Trial({stem: known_song.read(path) / stems.gain for stem, path in paths.items()}, took_s)


def _decided(
    files: ModelFiles, target: Target, plan: Plan, reason: str, trial: Trial | None = None
) -> Decision:
    return Decision(
        model=files.name,
        device=target.device.torch_device,
        machine=target.machine.name,
        made_with=decision.versions(),
        rest_sha256=files.rest_sha256,
        runtime=plan.runtime,
        precision=plan.precision,
        reason=reason,
        core_files=tuple(
            CoreFile(name=path.name, sha256=decision.core_sha256(files, path)) for path in plan.core_files
        ),
        times_real_time=round(known_song.SECONDS / trial.took_s, 2) if trial else None,
        stems=tuple(trial.stems) if trial else (),
    )
