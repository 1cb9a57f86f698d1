"""Without torch, the ends of networks give the stems that the ends with torch give."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from processor.separation.architectures import diffq_stand_in, hybrid_demucs, mdx23c, roformer
from processor.separation.architectures.demucs_by_arrays import DemucsEnds
from processor.separation.architectures.mdxc_by_arrays import Mdx23cEnds, RoformerEnds
from processor.separation.architectures.mdxc_parameters import Mdx23cSettings
from processor.separation.architectures.roformer_settings import Settings

NEAREST_DB = 90


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def ratio_db(expected: np.ndarray, found: np.ndarray) -> float:
    error = np.square((expected - found).astype(np.float64)).sum()
    return 10 * np.log10(np.square(expected.astype(np.float64)).sum() / error)


class Core:
    """Answers noise, which depends on the input, to arrays and to tensors alike."""

    def __init__(self, stems: int, stem_axis: bool):
        self._stems, self._stem_axis = stems, stem_axis

    def __call__(self, spectra):
        if isinstance(spectra, torch.Tensor):
            return (torch.from_numpy(self(spectra.numpy())[0]),)
        masks = noise(1, self._stems, *spectra.shape[1:]) + 0.1 * spectra[:, None]
        return (masks if self._stem_axis else masks[:, 0],)


# A BS-Roformer's, a Mel-Band Roformer's with each of its own settings, and one with a shorter window. The
# last length is that of a song's only chunk, and not a whole number of frames.
@pytest.mark.parametrize(
    ("settings", "samples"),
    [
        (Settings(2048, 441, 2048, normalized=False, stems=1, keeps_length=False), 441 * 80),
        (Settings(2048, 512, 1200, normalized=True, stems=2, keeps_length=False), 512 * 20),
        (Settings(1024, 441, 1024, normalized=False, stems=2, keeps_length=True), 441 * 40 + 333),
        (Settings(2048, 441, 2048, normalized=False, stems=1, keeps_length=False), 5000),
    ],
)
def test_a_roformers_ends(settings, samples):
    chunk = noise(2, samples)
    core = Core(settings.stems, stem_axis=True)
    expected = roformer.Edges(settings, "cpu").separate(torch.from_numpy(chunk)[None], core)[0].numpy()
    found = RoformerEnds(settings).separate(chunk, core)
    assert found.shape == expected.shape
    assert ratio_db(expected, found) > NEAREST_DB
    (input_,) = roformer.Edges(settings, "cpu").example(samples)
    assert RoformerEnds(settings).shapes(samples) == (tuple(input_.shape),)


@pytest.mark.parametrize(("bins", "stems"), [(1024, 2), (1025, 1)])
def test_the_ends_of_mdx23c(bins, stems):
    settings = Mdx23cSettings(2048, 512, bins, 4, stems)
    core, ends = Core(stems, stem_axis=stems > 1), Mdx23cEnds(settings)
    for samples in (512 * 70, 512 * 9):  # with one object, as songs of both kinds come
        chunk = noise(2, samples)
        expected = mdx23c.Edges(settings, "cpu").separate(torch.from_numpy(chunk)[None], core)[0].numpy()
        found = ends.separate(chunk, core)
        assert found.shape == expected.shape
        assert ratio_db(expected, found) > NEAREST_DB
        (input_,) = mdx23c.Edges(settings, "cpu").example(samples)
        assert ends.shapes(samples) == (tuple(input_.shape),)


@pytest.mark.slow
# A segment of whole frames, and one of a few samples more.
@pytest.mark.parametrize("segment", [256 * 30, 256 * 30 + 7])
def test_the_ends_of_demucs(segment):
    network = htdemucs(segment)
    samples = noise(1, 2, segment)
    ends, edges = DemucsEnds(1024, segment), hybrid_demucs.Edges(network)
    expected = edges.separate(torch.from_numpy(samples), demucs_core).numpy()
    found = ends.separate(samples, demucs_core)
    assert found.shape == expected.shape
    assert ratio_db(expected, found) > NEAREST_DB
    inputs = hybrid_demucs.example(network, segment)
    assert ends.shapes == tuple(tuple(value.shape) for value in inputs)


def htdemucs(segment: int) -> torch.nn.Module:
    """The transforms of the library's network, whose weights are not used."""
    diffq_stand_in.install()
    from audio_separator.separator.uvr_lib_v5.demucs.htdemucs import HTDemucs

    size = {"channels": 8, "depth": 4, "t_layers": 1, "t_heads": 2}
    with torch.device("meta"):
        return HTDemucs(["one", "other"], nfft=1024, segment=Fraction(segment, 44100), **size)


def demucs_core(samples, spectra):
    """Answers noise, which depends on the inputs, to arrays and to tensors alike."""
    if isinstance(samples, torch.Tensor):
        return tuple(torch.from_numpy(x) for x in demucs_core(samples.numpy(), spectra.numpy()))
    found = noise(1, 2, *spectra.shape[1:]) + spectra[:, None]
    return found, noise(1, 2, *samples.shape[1:]) + samples[:, None]
