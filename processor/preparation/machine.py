"""Names the device that a decision was made on, since another one may be faster at something else."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from processor.separation.runtimes import cpus

# The instructions that decide which precision is fast.
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16")


@dataclass(frozen=True)
class Machine:
    """A device. `name` is for people, and `key` for file names.

    The key differs where the speed may differ.
    """

    name: str
    key: str


def cpu(cpuinfo: Path = Path("/proc/cpuinfo"), cores: int | None = None) -> Machine:
    """Return the CPU that this process may use; `cores` is the number of its cores."""
    cores = cores or cpus.usable()
    fields: dict[str, str] = {}
    for line in cpuinfo.read_text().splitlines():
        field, _, value = line.partition(":")
        fields.setdefault(field.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features", "")).split()
    fast = [instruction for instruction in _INSTRUCTIONS if instruction in flags]
    name = f"{cores} cores of {fields.get('model name', 'an unnamed CPU')}"
    return Machine(name, _key("cpu", name, *fast))


def gpu(name: str, memory_bytes: int) -> Machine:
    """Return a GPU, as torch names it."""
    return Machine(name, _key("cuda", name, str(memory_bytes)))


def _key(device: str, *facts: str) -> str:
    return f"{device}-{hashlib.sha256('|'.join(facts).encode()).hexdigest()[:12]}"
