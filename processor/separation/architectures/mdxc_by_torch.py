"""Runs MDXC's networks with torch's spectra, and by torch unless their core is converted."""

from typing import Any, Protocol, cast

import torch

from processor.models import lazy_imports
from processor.models.model_files import ModelFiles
from processor.separation import gpu
from processor.separation.architectures import library, mdx23c, roformer
from processor.separation.architectures.loading import loading
from processor.separation.architectures.mdxc_parameters import SHORT_SEGMENT, MdxcParameters
from processor.separation.architectures.ready_network import ReadyNetwork
from processor.separation.architectures.roformer_settings import Settings
from processor.separation.device import CPU, DeviceChoice
from processor.separation.overlap_add import Samples
from processor.separation.runtimes.core import CoreSource, Plan
from processor.separation.runtimes.opening import open_cores

lazy_imports.postpone("scipy.signal")


class _MdxcModel(Protocol):
    """The library's MDXC model without its network."""

    def network(self) -> torch.nn.Module: ...


def open_network(
    files: ModelFiles, parameters: MdxcParameters, plan: Plan, device: DeviceChoice
) -> ReadyNetwork:
    """Open the network by the plan's runtime. Raises ModelUnavailable and an error of the runtime."""
    edges = _edges(parameters, device.torch_device)
    (core,) = open_cores([source(files, parameters)], plan, device)

    def run(chunks: Samples) -> Samples:
        with torch.inference_mode():
            samples = gpu.to_device(chunks, device)
            return gpu.to_host(edges.separate(samples, core))

    # On a CPU the library's numbers: Roformers get one chunk at a time, whatever their configuration says.
    # OpenVINO's networks are made for one chunk.
    one = isinstance(parameters.settings, Settings) or plan.runtime == "openvino"
    runner = gpu.runner(run, device, on_cpu=1 if one else parameters.batch)
    return ReadyNetwork(runner, core.placement, gpu.threads(device))


def source(files: ModelFiles, parameters: MdxcParameters) -> CoreSource:
    """Return the network's core, for chunks of songs of 10 s and more."""

    def module() -> torch.nn.Module:
        network = _library_model(files)
        with loading(files):
            if isinstance(parameters.settings, Settings):
                return roformer.Core(network.network(), parameters.settings)
            return mdx23c.Core(network.network())

    edges = _edges(parameters, "cpu")
    samples = parameters.hop * (parameters.segment - 1)
    return CoreSource(module, edges.example(samples), edges.traced())


def _library_model(files: ModelFiles) -> _MdxcModel:
    """Return the library's own object; its network is loaded later. Raises ModelUnavailable."""
    with loading(files):
        arch = {"segment_size": SHORT_SEGMENT, "override_model_segment_size": False, "pitch_shift": 0}
        return cast(_MdxcModel, _model_class()(library.common_config(files, CPU), arch))


def _model_class() -> Any:
    """Return the library's class with its network left out until it is asked for."""
    from audio_separator.separator.architectures import mdxc_separator

    class Model(mdxc_separator.MDXCSeparator):  # type: ignore[misc]  # the library has no types
        def load_model(self) -> None:
            self.model_data_cfgdict = mdxc_separator.ConfigDict(self.model_data)

        def network(self) -> torch.nn.Module:
            """Return the network with its weights, which this object does not keep."""
            super().load_model()
            network: torch.nn.Module = self.model_run
            del self.model_run
            return network

    return Model


def _edges(parameters: MdxcParameters, torch_device: str) -> roformer.Edges | mdx23c.Edges:
    if isinstance(parameters.settings, Settings):
        return roformer.Edges(parameters.settings, torch_device)
    return mdx23c.Edges(parameters.settings, torch_device)
