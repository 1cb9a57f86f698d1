"""Runs VR's networks on the CPU by OpenVINO, from arrays to arrays and without torch."""

from processor.models.model_files import ModelFiles
from processor.separation.architectures.ready_network import ReadyNetwork
from processor.separation.architectures.vr_parameters import VrParameters
from processor.separation.batches import Batches
from processor.separation.device import DeviceChoice
from processor.separation.overlap_add import Samples
from processor.separation.runtimes.core import Plan
from processor.separation.runtimes.openvino_network import OpenVinoNetwork


def open_network(
    files: ModelFiles, parameters: VrParameters, plan: Plan, device: DeviceChoice
) -> ReadyNetwork:
    """Open the network. Raises RuntimeError where OpenVINO refuses its file."""
    (path,) = plan.core_files
    network = OpenVinoNetwork(path, (parameters.shape,), plan.precision)

    def run(patches: Samples) -> Samples:
        (masks,) = network(patches)
        return masks

    return ReadyNetwork(Batches(run, 1), network.placement, threads=0)
