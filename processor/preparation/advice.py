"""Names a model that separates vocals better than the chosen one and would be fast enough on this device.

The scores are the median SDR of the library's own measurements, in dB.
"""

from collections.abc import Iterable
from pathlib import Path

from processor.models import catalogue
from processor.models.model_files import ModelFiles
from processor.preparation import decision
from processor.preparation.decision import Decision

FAST_ENOUGH_TIMES_REAL_TIME = 1.0
# Smaller differences are not heard.
_LEAST_GAIN_DB = 0.5


def better_model(files: ModelFiles, made: Decision) -> str | None:
    """Return a sentence that names the best of the better models; None where there is none.

    A model counts if it is installed and its speed was measured on this device. On a GPU, where each model is
    fast enough, it need not be installed. Raises OSError.
    """
    scores_db = catalogue.vocals_scores_db()
    own_db = scores_db.get(files.path.name)
    if own_db is None:
        return None
    better = {name: score for name, score in scores_db.items() if score >= own_db + _LEAST_GAIN_DB}
    if found := _best(_fast_enough(files.directory, made.machine, better), better):
        name, speed = found
        return (
            f"{Path(name).stem} is installed, separates vocals better ({_compared(better[name], own_db)}) "
            f"and works at {speed:g} times real time here: MODEL_NAME={Path(name).stem} chooses it"
        )
    if made.device == "cuda" and better:
        name = max(better, key=better.__getitem__)
        return (
            f"{Path(name).stem} separates vocals better ({_compared(better[name], own_db)}) and suits a GPU: "
            f"MODEL_NAME={Path(name).stem} fetches and chooses it"
        )
    return None


def _fast_enough(model_dir: Path, machine: str, names: Iterable[str]) -> dict[str, float]:
    """Return the speeds of those models that were measured on `machine` and are fast enough, by file name."""
    found = {}
    for name in names:
        kept = decision.newest_of(model_dir, name)
        speed = kept.times_real_time if kept and kept.machine == machine else None
        if speed is not None and speed >= FAST_ENOUGH_TIMES_REAL_TIME:
            found[name] = speed
    return found


def _best(speeds: dict[str, float], scores_db: dict[str, float]) -> tuple[str, float] | None:
    return max(speeds.items(), key=lambda item: scores_db[item[0]], default=None)


def _compared(better_db: float, own_db: float) -> str:
    return f"median SDR {better_db:.1f} dB, not {own_db:.1f}"
