"""Steps work on each other's stems; a dead engine costs one run of a model, and stems stay exact."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.errors import CrashError, ErrorCode, PermanentError
from processor.engine.protocol import Computed, Separation, StemFile
from processor.presets.chain import Chain, ChainResult
from processor.presets.recipe import Recipe, Step
from processor.separation.loaded_model import Residual
from tests.support import audio

SONG = audio.noise(0.5)


SHARES = {
    "half": ({"vocals": 0.5}, Residual("instrumental", "vocals")),
    "quarter": ({"vocals": 0.25}, Residual("instrumental", "vocals")),
    "inst": ({"other": 0.5}, Residual("vocals", "other")),
    "dry": ({"noreverb": 0.75}, Residual("reverb", "noreverb")),
    "four": ({"vocals": 0.1, "drums": 0.2, "bass": 0.3, "other": 0.4}, None),
}


class ShareEngine:
    """Each model gives the shares of its source that `SHARES` names; the last stem may be the rest.

    Dies at the runs whose numbers are in `deaths`.
    """

    def __init__(self, *deaths: int):
        self._deaths = deaths
        self.runs: list[str] = []

    def separate(self, source, target_dir, check, on_progress, model=None, floats=False) -> Separation:
        assert floats
        assert not list(target_dir.iterdir())
        self.runs.append(model)
        if len(self.runs) in self._deaths:
            raise CrashError(ErrorCode.ENGINE_CRASHED, "died")
        shares, residual = SHARES[model]
        samples, rate = soundfile.read(source, dtype="float32")
        stems = {}
        for name, share in shares.items():
            soundfile.write(path := target_dir / f"{name}.wav", samples * np.float32(share), rate, "FLOAT")
            stems[name] = StemFile(path, len(samples), len(samples) / rate)
        on_progress(1.0)
        return Separation(stems, 1.0, model, "cpu", 2.0, Computed("torch", "fp32", sha256="0" * 64), residual)


def run(tmp_path: Path, engine: ShareEngine, *steps: Step) -> tuple[ChainResult, dict[str, float]]:
    """Return the result, and each stem with a file as its share of the song."""
    mix = audio.write(tmp_path / "mix.wav", SONG)
    directory = tmp_path / "work"
    directory.mkdir()
    progress: list[float] = []
    result = Chain(engine, Recipe(steps), mix, directory, lambda: None, progress.append).run()
    assert progress == sorted(progress)
    assert 0.9 < progress[-1] <= 1
    shares = {}
    for name, path in result.stems.paths.items():
        samples = soundfile.read(path, dtype="float32")[0]
        shares[name] = round(float((samples * SONG).sum() / (SONG**2).sum()), 4)
        assert np.abs(samples - SONG * np.float32(shares[name])).max() < 1e-4
    return result, shares


def test_each_step_works_on_a_stem_of_an_earlier_one(tmp_path):
    steps = (
        Step(("half",), stems=("vocals", "instrumental")),
        Step(("quarter",), on="instrumental", stems=("vocals",)),
        Step(("dry",), on="vocals", stems=("noreverb", "reverb")),
    )
    engine = ShareEngine()
    result, shares = run(tmp_path, engine, *steps)
    assert shares == {"noreverb": 0.0937}
    assert result.stems.residual == Residual("reverb", "noreverb")
    assert result.stems.rest_of is not None
    assert [used.name for used in result.used] == engine.runs == ["half", "quarter", "dry"]
    assert (result.took_s, result.used[0].sha256) == (6.0, "0" * 64)


@pytest.mark.parametrize(("way", "share"), [("avg_wave", 0.375), ("avg_fft", 0.375)])
def test_averages_leave_the_rest_to_the_song_so_that_stems_add_up(tmp_path, way, share):
    step = Step(("half", "quarter"), way, (1.0, 1.0))
    result, shares = run(tmp_path, ShareEngine(), step)
    assert shares == {"vocals": share}
    assert (result.stems.residual, result.stems.rest_of) == (Residual("instrumental", "vocals"), None)


def test_other_ways_combine_both_stems_and_keep_no_file_of_a_model(tmp_path):
    result, shares = run(tmp_path, ShareEngine(), Step(("quarter", "inst"), "max_wave", (1.0, 1.0)))
    assert shares == {"vocals": 0.5, "instrumental": 0.75}
    assert result.stems.residual is None
    assert len(list((tmp_path / "work").rglob("*.wav"))) == 2


def test_a_model_with_many_stems_gives_those_that_the_step_names(tmp_path):
    result, shares = run(tmp_path, ShareEngine(), Step(("four",), stems=("bass", "drums")))
    assert shares == {"drums": 0.2, "bass": 0.3}
    assert result.stems.residual is None


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (Step(("dry",), stems=("vocals",)), "There is no stem vocals. There are: noreverb, reverb"),
        (Step(("dry", "half"), "avg_wave", (1.0, 1.0)), "The models dry, half have no stem in common"),
    ],
)
def test_a_stem_that_a_model_lacks_is_said(tmp_path, step, says):
    with pytest.raises(PermanentError, match=says) as caught:
        run(tmp_path, ShareEngine(), step)
    assert caught.value.code == ErrorCode.STEM_UNKNOWN


def test_an_engine_that_dies_in_a_later_step_costs_that_run_alone(tmp_path):
    engine = ShareEngine(2)
    steps = (Step(("half",), stems=("vocals",)), Step(("dry",), on="vocals", stems=("reverb",)))
    result, _ = run(tmp_path, engine, *steps)
    assert engine.runs == ["half", "dry", "dry"]
    assert len(result.used) == 2


@pytest.mark.parametrize("deaths", [(1,), (2, 3)])
def test_an_engine_that_dies_at_once_or_twice_fails_the_attempt(tmp_path, deaths):
    steps = (Step(("half",), stems=("vocals",)), Step(("dry",), on="vocals", stems=("reverb",)))
    with pytest.raises(CrashError):
        run(tmp_path, ShareEngine(*deaths), *steps)
