"""Each architecture in bounded memory answers what audio-separator does with the whole file."""

from pathlib import Path

import numpy as np
import pytest

from processor.models import model_files
from processor.separation import device, loaded_model
from processor.separation.architectures import vr
from tests.support import audio
from tests.support.processor import random_checkpoints
from tests.support.processor.mixes import as_mix
from tests.support.processor.models import random_directory
from tests.support.processor.whole_file import Library

LSB = 1 / 32768


def load(name: str, directory: Path | None = None) -> loaded_model.LoadedModel:
    return loaded_model.load(
        model_files.ensure(name, directory or random_directory(), fetch=False), device.CPU
    )


def streamed(loaded: loaded_model.LoadedModel, mix: np.ndarray) -> dict[str, np.ndarray]:
    """[frame, 2] by stem, with the residual."""
    answers = np.concatenate(list(loaded.estimate(as_mix(mix))), axis=2)
    stems = {name: answer.T for name, answer in zip(loaded.stems, answers, strict=True)}
    if loaded.residual:
        stems[loaded.residual.name] = mix - stems[loaded.residual.of]
    return stems


def assert_equals_library(name: str, directory: Path, tmp_path: Path, lengths, peak: float = 0.5) -> None:
    loaded = load(name, directory)
    library = Library(directory, model_files.ensure(name, directory, fetch=False).path.name, tmp_path)
    for frames in lengths:
        mix = audio.noise(frames / audio.SAMPLE_RATE, seed=frames, peak=peak)[:frames]
        ours = streamed(loaded, mix)
        theirs = library.separate(audio.write(tmp_path / "mix.wav", mix))
        assert set(theirs) <= set(ours)
        for stem, expected in theirs.items():
            assert ours[stem].shape == expected.shape == mix.shape, (stem, frames)
            assert np.abs(ours[stem] - expected).max() < 0.02 * LSB, (stem, frames)


# Chunks of 261,120 samples below ten seconds, of 64,512 from there on, half of them new each. The first
# network goes to all borders. The other one has more stems, and batches: of one chunk, two and many.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        ("tiny_mdx23c", [1, 261_121, 440_999, 441_000, 32_256 * 17, 550_001]),
        ("stems", [1, 261_121, 550_001]),
    ],
)
def test_mdx23c(name, lengths, tmp_path):
    directory = random_directory()
    if name == "stems":
        directory = tmp_path
        random_checkpoints.write_mdx23c(tmp_path, name, ("kick", "snare", "toms"), batch=3)
    assert_equals_library(name, directory, tmp_path, lengths)


def test_mdx23c_with_a_target(tmp_path):
    random_checkpoints.write_mdx23c(tmp_path, "target", target="Vocals")
    assert_equals_library("target", tmp_path, tmp_path, [500_000])


# One of each family goes to all borders of its chunks, which both have; the other shows its stems.
@pytest.mark.parametrize(
    ("target", "lengths"),
    [
        pytest.param(
            "Vocals",
            [1025, 50_000, 130_560, 130_561, 440_999, 441_000, 65_024 * 8, 550_001],
            marks=pytest.mark.slow,
        ),
        (None, [1025, 130_561, 441_000]),
    ],
)
def test_roformer(target, lengths, tmp_path):
    random_checkpoints.write_bs_roformer(tmp_path, "roformer", target=target)
    assert_equals_library("roformer", tmp_path, tmp_path, lengths)


# Chunks of 112,455 samples below ten seconds, of 56,007 from there on, half of them new each.
@pytest.mark.parametrize(
    ("target", "lengths"),
    [pytest.param("Vocals", [1025, 112_456, 441_000], marks=pytest.mark.slow), (None, [112_456])],
)
def test_mel_band_roformer(target, lengths, tmp_path):
    random_checkpoints.write_mel_band_roformer(tmp_path, "roformer", target=target)
    assert_equals_library("roformer", tmp_path, tmp_path, lengths)


@pytest.mark.parametrize("name", ["tiny_bs_roformer", "tiny_mel_band_roformer"])
@pytest.mark.parametrize("frames", [1, 441, 1000, 1024])
def test_a_song_too_short_for_the_librarys_roformers_is_filled_up(name, frames):
    stems = streamed(load(name), audio.noise(1)[:frames])
    assert all(samples.shape == (frames, 2) and np.isfinite(samples).all() for samples in stems.values())


@pytest.mark.slow
# Segments of 44,100 samples, 33,075 of them new each. The single network goes to all borders.
@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        ("tiny_demucs", [2, 44_100, 44_101, 33_075 * 3, 200_001]),
        pytest.param("tiny_bag", [2, 33_075 * 3], marks=pytest.mark.slow),
    ],
)
def test_demucs(name, lengths, tmp_path):
    assert_equals_library(name, random_directory(), tmp_path, lengths)


def test_a_quantised_demucs_checkpoint_is_refused_with_the_reason(tmp_path):
    random_checkpoints.write_demucs(tmp_path, "quantised", quantised=True)
    with pytest.raises(
        model_files.ModelUnavailable, match=r"model quantised cannot be loaded.*not quantised"
    ):
        load("quantised", tmp_path)


def test_hdemucs(tmp_path):
    # Segments of 44,100 samples, 33,075 of them new each; the last one is as short as what is left.
    assert_equals_library("tiny_hdemucs", random_directory(), tmp_path, [1, 100_001])


def test_demucs_of_a_song_with_an_offset_and_a_quiet_one(tmp_path):
    loaded = load("tiny_demucs")
    mix = audio.noise(2.5, peak=0.2)
    plain = streamed(loaded, mix)
    quiet = streamed(loaded, mix / 64)
    for name in loaded.stems:
        assert np.abs(quiet[name] * 64 - plain[name]).max() < 0.1 * LSB
    library = Library(random_directory(), "tiny_demucs.yaml", tmp_path)
    theirs = library.separate(audio.write(tmp_path / "mix.wav", mix + np.float32(0.25)))
    ours = streamed(loaded, mix + np.float32(0.25))
    assert all(np.abs(ours[name] - theirs[name]).max() < 0.1 * LSB for name in theirs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "hop_samples"),
    [("1band_sr44100_hl512", 512), ("4band_v3", 480), ("2band_32000", 4851)],
)
def test_vr(monkeypatch, layout, hop_samples, tmp_path):
    """Blocks of two patches, and songs that go on in a second block, so that patches and blocks are joined.

    The library's answer ends with its last whole frame; we fill the song up to the next one. So whole
    frames are compared: of the song, the frames that begin both in its samples and in the model's bands.
    Without libsamplerate both resample by polyphase filters; what libsamplerate gives is not tested then.
    """
    random_checkpoints.write_vr(tmp_path, "vr", layout)
    monkeypatch.setattr(vr, "_BLOCK_PATCHES", 2)
    more_than_a_block = (2 * 384 + 120) * (hop_samples if hop_samples <= 1024 else 485)
    lengths = [hop_samples * 3, hop_samples * -(-more_than_a_block // hop_samples)]
    assert_equals_library("vr", tmp_path, tmp_path, lengths)


@pytest.mark.slow
def test_vr_answers_for_every_sample_of_a_song_that_ends_within_a_frame():
    mix = audio.noise(3)
    for frames in (1, 1023, 1025, 100_001):
        stems = streamed(load("tiny_vr"), mix[:frames])
        assert {samples.shape for samples in stems.values()} == {(frames, 2)}
    filled = np.concatenate([mix[:100_001], np.zeros((1024 * 98 - 100_001, 2), np.float32)])
    whole = streamed(load("tiny_vr"), filled)
    assert all(np.abs(whole[name][:100_001] - stems[name]).max() < 0.02 * LSB for name in stems)


@pytest.mark.parametrize(
    ("instruments", "target", "stems", "residual"),
    [
        (("Vocals", "Instrumental"), None, ("vocals", "instrumental"), None),
        (("Vocals", "Instrumental"), "Vocals", ("vocals",), "instrumental"),
        (("Vocals", "Instrumental"), "Instrumental", ("instrumental",), "vocals"),
        (("vocals", "other"), "vocals", ("vocals",), "instrumental"),
        (("No Reverb", "Reverb"), "No Reverb", ("no_reverb",), "reverb"),
        (("Crowd",), "Crowd", ("crowd",), "no_crowd"),
        (("drums", "bass", "other", "vocals"), None, ("drums", "bass", "other", "vocals"), "instrumental"),
    ],
)
def test_stems_have_the_names_of_the_configuration(tmp_path, instruments, target, stems, residual):
    random_checkpoints.write_mdx23c(tmp_path, "named", instruments, target)
    loaded = load("named", tmp_path)
    assert loaded.stems == stems
    assert (loaded.residual.name if loaded.residual else None) == residual
    assert loaded.names == (*stems, residual) if residual else stems
