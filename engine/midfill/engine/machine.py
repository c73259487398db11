"""What this machine offers an engine: processor, memory, cards, libraries, checkpoints. Changes nothing."""

import os
import platform
import re
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

from midfill.engine.installed import embedded_model, pulled_models

if TYPE_CHECKING:
    import torch

BENCHMARK_S = 0.005
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What Linux calls the instructions that multiply bfloat16, on x86 and on ARM."""


class Cpu(msgspec.Struct, frozen=True):
    """The speeds are those of one thread: matrix products in torch, billions of operations a second."""

    num_cores: int
    num_threads: int
    float32_gflops: float
    bfloat16_gflops: float
    has_bfloat16: bool


class Gpu(msgspec.Struct, frozen=True):
    name: str
    free_bytes: int
    total_bytes: int


class Checkpoint(msgspec.Struct, frozen=True):
    path: str
    num_bytes: int


class Machine(msgspec.Struct, frozen=True):
    """None stands for what is not installed. Without torch, the processor and the cards are not looked at."""

    python: str
    system: str
    free_bytes: int
    total_bytes: int
    torch: str | None
    triton: str | None
    cpu: Cpu | None
    gpus: tuple[Gpu, ...]
    embedded: Checkpoint | None
    pulled: tuple[Checkpoint, ...]


def examine() -> Machine:
    """This machine as it is now. Takes as long as importing torch, and some 10 ms."""
    torch_version, memory = _version("torch"), psutil.virtual_memory()
    return Machine(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        free_bytes=memory.available,
        total_bytes=memory.total,
        torch=torch_version,
        triton=_version("triton"),
        cpu=measure_cpu() if torch_version else None,
        gpus=gpus() if torch_version else (),
        embedded=_checkpoint(embedded_model()),
        pulled=tuple(filter(None, map(_checkpoint, pulled_models()))),
    )


def _version(package: str) -> str | None:
    if find_spec(package) is None:
        return None
    try:
        return version(package)
    except PackageNotFoundError:
        return "of an unknown version"


def _checkpoint(directory: Path) -> Checkpoint | None:
    if not (directory / "config.json").exists():
        return None
    return Checkpoint(str(directory), sum(path.stat().st_size for path in directory.glob("*.safetensors")))


@cache
def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16, by Linux' word; elsewhere models are float32 on the CPU.

    Where it is emulated it saves memory, not time. It is not measured: a busy machine would at times say otherwise, and
    then come to other fills for the same seed.
    """
    path = Path("/proc/cpuinfo")
    return path.exists() and names_bfloat16(path.read_text(encoding="utf-8", errors="replace"))


def names_bfloat16(cpuinfo: str) -> bool:
    """Whether the first processor that Linux describes so multiplies bfloat16. Pure."""
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    return flags is not None and not BFLOAT16_FLAGS.isdisjoint(flags[1].split())


# torch is imported in the functions that need it: this module also has to say that it is missing.


def working_dtype(device: "torch.device") -> "torch.dtype":
    """bfloat16 where the hardware multiplies it, else float32, not float16, in which CPUs compute ten times slower."""
    import torch

    return torch.bfloat16 if device.type == "cuda" or has_bfloat16() else torch.float32


def measure_cpu() -> Cpu:
    """Two measurements of `BENCHMARK_S`. Needs torch, whose number of threads is as before afterwards."""
    import torch

    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other measure what else the machine does
    try:
        speeds = _matmul_gflops(torch.float32), _matmul_gflops(torch.bfloat16)
    finally:
        torch.set_num_threads(num_threads)
    return Cpu(os.cpu_count() or 1, num_threads, *speeds, has_bfloat16())


def _matmul_gflops(dtype: "torch.dtype", size: int = 256) -> float:
    """Speed of the fastest product in a few milliseconds: a busy machine slows most of them."""
    import torch

    matrix = torch.ones(size, size, dtype=dtype)
    begin, durations_s = time.perf_counter(), [float("inf")]
    while time.perf_counter() - begin < BENCHMARK_S or len(durations_s) < 5:
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        durations_s.append(time.perf_counter() - start)
    return 2 * size**3 / min(durations_s) / 1e9


def gpus() -> tuple[Gpu, ...]:
    """The cards that torch can use, in its order. Needs torch."""
    import torch

    if not torch.cuda.is_available():
        return ()
    return tuple(
        Gpu(torch.cuda.get_device_name(index), *torch.cuda.mem_get_info(index))
        for index in range(torch.cuda.device_count())
    )
