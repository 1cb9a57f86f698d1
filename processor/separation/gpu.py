"""Runs networks on a GPU: as many chunks at once as memory allows, and copies beside the network.

On a CPU the same functions copy nothing, and run the number of chunks that they are told.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from processor.separation.batches import Batches, GrowingBatches, Runner
from processor.separation.device import CUDA, DeviceChoice
from processor.separation.overlap_add import Samples

MOST_CHUNKS = 8
# The rest is for a CUDA graph, which keeps the memory of a run, and for what other programs may take.
_SHARE = 0.5


class GpuMemory:
    """The memory of the GPU that torch uses."""

    def measured(self, run: Callable[[], Samples]) -> tuple[Samples, int]:
        """Return the answer of `run`, and how many bytes it took at its peak.

        What onnxruntime and CUDA's libraries take shows only in the GPU's free memory, torch's own peak only
        in its counters. The larger figure counts. Both may hold what another thread has taken meanwhile.
        """
        torch.cuda.reset_peak_memory_stats()
        allocated, (free, _) = torch.cuda.memory_allocated(), torch.cuda.mem_get_info()
        answer = run()
        peak = torch.cuda.max_memory_allocated() - allocated
        return answer, max(peak, free - torch.cuda.mem_get_info()[0])

    def budget_bytes(self) -> int:
        """Return a share of what is free, with what torch has reserved and does not use."""
        unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(_SHARE * (torch.cuda.mem_get_info()[0] + unused))

    def release(self) -> None:
        """Return the memory that torch caches; nothing where torch uses no GPU."""
        torch.cuda.empty_cache()


def runner(
    run: Callable[[Samples], Samples], device: DeviceChoice, on_cpu: int, most: int = MOST_CHUNKS
) -> Runner:
    """Return what runs chunks: `on_cpu` at once on a CPU, and up to `most`, a power of two, on a GPU."""
    if device != CUDA:
        return Batches(run, on_cpu)
    return GrowingBatches(run, GpuMemory(), most)


def threads(device: DeviceChoice) -> int:
    """Return how many threads run chunks, so that a GPU has the next ones while the answers are added up."""
    return 2 if device == CUDA else 0


def to_device(chunks: Samples, device: DeviceChoice) -> Tensor:
    """Return the chunks on the device. The copy to a GPU may still run, in its turn on torch's stream."""
    samples = torch.from_numpy(chunks)
    if device != CUDA:
        return samples
    # From pinned memory, the copy waits for no run that is still going on. torch keeps the memory until then.
    return samples.pin_memory().to(device.torch_device, non_blocking=True)


def to_host(answers: Tensor) -> Samples:
    """Return the answers on the host, once they are computed; on a CPU without a copy."""
    if not answers.is_cuda:
        samples: Samples = answers.numpy()
        return samples
    pinned = torch.empty(answers.shape, dtype=answers.dtype, pin_memory=True)
    pinned.copy_(answers, non_blocking=True)
    # Wait for this copy, and not for the next chunks, which another thread may have begun. A blocking event
    # leaves the CPU to others.
    copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # torch does not annotate it
    copied.record()
    copied.synchronize()
    samples = pinned.numpy()
    return samples
