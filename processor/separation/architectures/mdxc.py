"""Runs MDXC's networks, MDX23C (TFC-TDF v3) and Roformers, on the grids of `MDXCSeparator.demix()`.

MDX23C: `overlap` chunks cover each sample, and their unweighted sum is divided by `overlap`. Roformer: chunks
are weighted by a Hamming window, and the last chunk is moved back so that it ends with the mix.
"""

import importlib
from collections.abc import Iterator

from processor.models.model_files import ModelFiles
from processor.separation import overlap_add
from processor.separation.architectures.loading import loading
from processor.separation.architectures.mdxc_parameters import Mdx23cSettings, MdxcParameters
from processor.separation.device import DeviceChoice
from processor.separation.loaded_model import LoadedModel
from processor.separation.overlap_add import Mix, Samples
from processor.separation.runtimes.core import BY_TORCH, CoreSource, Plan


def load(files: ModelFiles, device: DeviceChoice, plan: Plan = BY_TORCH) -> LoadedModel:
    """Load the network. Raises ModelUnavailable, and RuntimeError where OpenVINO refuses its core."""
    with loading(files):
        parameters = MdxcParameters.of(files)
    way = importlib.import_module(f"{__name__}_by_{'arrays' if plan.is_by_arrays(device) else 'torch'}")
    opened = way.open_network(files, parameters, plan, device)
    divisor = parameters.overlap if isinstance(parameters.settings, Mdx23cSettings) else None

    def estimate(mix: Mix) -> Iterator[Samples]:
        for answer in overlap_add.stream(
            mix.open(),
            mix.frames,
            parameters.chunks(mix.frames),
            opened.runner,
            divisor,
            opened.runner.most,
            opened.threads,
        ):
            yield answer[: len(parameters.stems)]

    return LoadedModel(
        files.name,
        parameters.stems,
        parameters.residual,
        estimate,
        opened.placement,
        plan.runtime,
        plan.precision,
    )


def core_sources(files: ModelFiles) -> tuple[CoreSource, ...]:
    """Return the network's core, for chunks of songs of 10 s and more. Raises ModelUnavailable."""
    # Only conversions need it, and it imports torch.
    from processor.separation.architectures import mdxc_by_torch

    with loading(files):
        return (mdxc_by_torch.source(files, MdxcParameters.of(files)),)
