"""The parts of preparing: WAV headers of any length, and the downmix to stereo."""

import io

import numpy as np
import pytest
import soundfile

from processor.audio import downmix, wav


@pytest.mark.parametrize("kind", ["int16", "float32"])
@pytest.mark.parametrize("known", [True, False])
def test_wav_files_are_read_back_by_libsndfile(tmp_path, kind, known):
    samples = np.arange(-500, 500).reshape(-1, 2).astype(kind)
    with wav.WavWriter(tmp_path / "a.wav", kind, len(samples) if known else None) as writer:
        for block in np.array_split(samples, 7):
            writer.write(block)
    found, rate = soundfile.read(tmp_path / "a.wav", dtype=kind)
    assert rate == 44100
    assert np.array_equal(found, samples)


@pytest.mark.parametrize(("minutes", "container"), [(405, "WAV"), (407, "RF64")])
def test_a_wav_past_4_gib_is_rf64(tmp_path, minutes, container):
    frames = minutes * 60 * 44100
    path = tmp_path / "a.wav"
    with path.open("wb") as file:  # sparse: takes no room
        file.write(wav.header("int16", frames))
        file.truncate(file.tell() + frames * 4)
    info = soundfile.info(path)
    assert (info.format, info.frames) == (container, frames)


def test_a_growable_header_keeps_its_length():
    lengths = {len(wav.header("float32", frames, growable=True)) for frames in (0, 1, 2**29, 2**33)}
    assert len(lengths) == 1


def test_a_plain_wav_has_the_canonical_header():
    data = wav.header("int16", 1) + bytes(4)
    assert len(data) == 48
    assert soundfile.info(io.BytesIO(data)).frames == 1


def test_mono_is_copied_at_equal_level():
    assert downmix.matrix(["FC"]).tolist() == [[1], [1]]


def test_stereo_stays_as_it_is():
    assert downmix.matrix(["FL", "FR"]).tolist() == [[1, 0], [0, 1]]


def test_surround_keeps_its_sides_and_cannot_clip():
    names = ["FL", "FR", "FC", "LFE", "SL", "SR"]
    weights = downmix.matrix(names)
    assert weights.sum(axis=1) == pytest.approx([1, 1])
    left, right = weights
    assert left[names.index("FR")] == 0
    assert left[names.index("SR")] == 0
    assert left[names.index("LFE")] == 0
    assert left[names.index("FC")] == right[names.index("FC")] > 0
    assert left[names.index("FL")] == right[names.index("FR")] > left[names.index("SL")] > 0


@pytest.mark.parametrize(
    "names", [["?", "?", "?"], ["NONE"] * 4, ["LFE", "LFE2"], ["AMBI0"] * 4, ["FC", "LFE"]]
)
def test_any_other_layout_gives_two_sides_that_cannot_clip(names):
    weights = downmix.matrix(names)
    assert weights.shape == (2, len(names))
    assert weights.any(axis=1).all()
    assert weights.sum(axis=1).max() == pytest.approx(1)
