"""Splits a BS-Roformer or Mel-Band Roformer of the library into its spectra and its core.

The core is the network between the STFT and the complex mask: real tensors only, no STFT. The library's own
`forward` is the source of both halves.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from processor.separation.architectures.roformer_settings import CHANNELS, Settings
from processor.separation.architectures.stft import Stft
from processor.separation.runtimes.core import RunCore


class Edges:
    """Separates samples with a core between spectra and masks, both in float32."""

    def __init__(self, settings: Settings, device: str):
        self._settings = settings
        self._stft = Stft(settings.n_fft, settings.hop, device, settings.win_length, settings.normalized)

    def separate(self, samples: Tensor, core: RunCore) -> Tensor:
        """Separate [batch, 2, n] into [batch, stem, 2, m]."""
        spectra = self._stft.spectra(samples).permute(0, 2, 3, 1)  # [batch, frame, bin, channel]
        spectra = spectra.contiguous()
        batch, frames = spectra.shape[:2]
        (masks,) = core(torch.view_as_real(spectra).reshape(batch, frames, -1))
        shape = (batch, self._settings.stems, frames, -1, CHANNELS, 2)
        masked = torch.view_as_complex(masks.to(spectra.device).reshape(shape)) * spectra[:, None]
        length = samples.shape[-1] if self._settings.keeps_length else None
        return self._stft.samples(masked.permute(0, 1, 4, 2, 3).contiguous(), length)

    def example(self, samples: int) -> tuple[Tensor, ...]:
        """Return the core's input for one chunk of `samples` samples."""
        return self._input(samples // self._settings.hop + 1)

    def traced(self) -> tuple[Tensor, ...]:
        """Return the core's input for a conversion, which holds for any number of frames."""
        return self._input(8)

    def _input(self, frames: int) -> tuple[Tensor, ...]:
        return (torch.rand(1, frames, self._settings.values, generator=torch.Generator().manual_seed(0)),)


class Core(nn.Module):
    """The part of the library's network from the bands' features to the masks."""

    def __init__(self, network: Any, settings: Settings):
        """Raises ValueError where the network has other settings than its configuration says."""
        super().__init__()
        if (found := _settings_in(network)) != settings:
            raise ValueError(f"its network has the settings {found}, its configuration {settings}")
        self._blocks, self._band_split = network.layers, network.band_split
        self._estimators = network.mask_estimators
        self._final_norm: Callable[[Tensor], Tensor] = getattr(network, "final_norm", nn.Identity())
        self._bands = _MelBands(network) if hasattr(network, "freq_indices") else None
        for module in list(network.modules()):
            if type(module).__name__ == "Attend":
                module.forward = _Attend(module.scale)
            elif type(module).__name__ == "Attention":
                module.forward = _Attention(module)
                # What is part of the network goes to its device with it.
                module.turns = module.forward.turns

    def forward(self, spectra: Tensor) -> Tensor:
        """Return the masks [batch, stem, frame, value] of spectra [batch, frame, value].

        The values of a frame are its bins, each channel's real and imaginary part.
        """
        x = self._band_split(self._bands.split(spectra) if self._bands else spectra)
        # In half precision the blocks' sums begin in float32 here, and so they stay.
        x = x.to(spectra.dtype)
        batch, frames, bands, size = x.shape
        for *linear, over_time, over_bands in self._blocks:
            for transformer in linear:
                x = transformer(x.reshape(batch, frames * bands, size)).reshape(batch, frames, bands, size)
            x = over_time(x.transpose(1, 2).reshape(batch * bands, frames, size))
            x = x.reshape(batch, bands, frames, size).transpose(1, 2)
            x = over_bands(x.reshape(batch * frames, bands, size)).reshape(batch, frames, bands, size)
        x = self._final_norm(x)
        masks = torch.stack([estimate(x) for estimate in self._estimators], dim=1)
        return self._bands.join(masks) if self._bands else masks


class _Attend:
    """Stands for the library's `Attend`: the same attention by torch's one function, which runtimes know."""

    def __init__(self, scale: float | None):
        self._scale = scale

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(query, key, value, scale=self._scale)


class _Attention:
    """Stands for the library's `Attention`, whose rotation moves single numbers: a tenth of a run's time."""

    def __init__(self, attention: Any):
        self._attention = attention
        self.turns = Turns(attention.rotary_embed) if attention.rotary_embed is not None else nn.Identity()

    def __call__(self, x: Tensor) -> Tensor:
        """Return the attention's part for x, [batch, place, value]."""
        attention = self._attention
        x = attention.norm(x)
        batch, places, _ = x.shape
        # Three products, since one would have its answer in memory twice: as it is, and parted.
        query, key, value = (
            nn.functional.linear(x, weight).reshape(batch, places, attention.heads, -1).transpose(1, 2)
            for weight in attention.to_qkv.weight.chunk(3)
        )  # each [batch, head, place, value]
        found = attention.attend(self.turns(query), self.turns(key), value)
        gates = attention.to_gates(x).transpose(1, 2)[..., None]
        found = (found * gates.sigmoid()).transpose(1, 2).reshape(batch, places, -1)
        answer: Tensor = attention.to_out(found)
        return answer


class Turns(nn.Module):
    """Rotary positions: turns each pair of neighbouring values by an angle that grows with its place.

    The pair (a, b), turned by w, is (a cos w - b sin w, b cos w + a sin w) (arXiv 2104.09864, equation 34).
    The values (-b, a) come from a product with a matrix of 0, 1 and -1. That is exact, and many times as fast
    as moving each value.
    """

    def __init__(self, rotary_embed: Any):
        super().__init__()
        self._rotary = rotary_embed
        size = 2 * len(rotary_embed.freqs)
        crossed = torch.zeros(size, size)
        first = torch.arange(0, size, 2)
        crossed[first + 1, first], crossed[first, first + 1] = -1, 1
        self._crossed: Tensor
        self.register_buffer("_crossed", crossed, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Return the turned values [batch, head, place, value]. The angles are float32 in each precision."""
        places = self._rotary.get_seq_pos(values.shape[-2], device=values.device, dtype=torch.float32)
        angles = torch.outer(places, self._rotary.freqs.float()).repeat_interleave(2, dim=-1)
        crossed = values @ self._crossed.to(values.dtype)
        return (values * angles.cos() + crossed * angles.sin()).to(values.dtype)


class _MelBands(nn.Module):
    """Takes overlapping bands from spectra, and joins the bands' masks to their means."""

    def __init__(self, network: Any):
        super().__init__()
        indices: Tensor = network.freq_indices
        counts = torch.bincount(indices, minlength=2 * len(network.num_bands_per_freq))
        self._indices: Tensor
        self._places: Tensor
        self._counts: Tensor
        self.register_buffer("_indices", indices, persistent=False)
        self.register_buffer("_places", _places(indices, counts), persistent=False)
        self.register_buffer("_counts", counts.to(torch.float32)[:, None], persistent=False)

    def split(self, spectra: Tensor) -> Tensor:
        """Return the values of all bands, [batch, frame, band value]."""
        batch, frames, values = spectra.shape
        pairs = spectra.reshape(batch, frames, values // 2, 2)
        return pairs[:, :, self._indices].reshape(batch, frames, 2 * len(self._indices))

    def join(self, masks: Tensor) -> Tensor:
        """Return the mean of the masks of each bin, [batch, stem, frame, value]."""
        batch, stems, frames, values = masks.shape
        pairs = masks.reshape(batch, stems, frames, values // 2, 2)
        pairs = nn.functional.pad(pairs, (0, 0, 0, 1))  # the last place is 0
        total = pairs[:, :, :, self._places[0]]
        for places in self._places[1:]:
            total = total + pairs[:, :, :, places]
        return (total / self._counts).reshape(batch, stems, frames, 2 * len(self._counts))


def _places(indices: Tensor, counts: Tensor) -> Tensor:
    """Return for each bin the places where `indices` names it, [place, bin], filled up by len(indices)."""
    order = torch.argsort(indices, stable=True)
    first = torch.cumsum(counts, 0) - counts
    places = torch.full((int(counts.max()), len(counts)), len(indices))
    for number in range(len(places)):
        has = counts > number
        places[number, has] = order[(first + number)[has]]
    return places


def _settings_in(network: Any) -> Settings:
    stft = network.stft_kwargs
    return Settings(
        stft["n_fft"],
        stft["hop_length"],
        stft["win_length"],
        bool(stft["normalized"]),
        network.num_stems,
        bool(getattr(network, "match_input_audio_length", False)),
    )
