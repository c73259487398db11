"""Kernels compiled for cards that are not here: registers, spills and shared memory, by Triton's own assembler.

Run as a program: builds as JSON on stdin, results as JSON on stdout. It is a process of its own because a kernel is
either interpreted or compiled, which is settled when it is imported.
"""

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parent.parent.parent
TARGETS = (80, 89, 90, 120)
"""A100; 24 GB cards of the Ada generation; H100 and H200; 24 and 32 GB cards of the Blackwell generation."""
SHARED_LIMITS = {80: 166_912, 89: 101_376, 90: 232_448, 120: 101_376}
"""Bytes of shared memory that one program may have, by compute capability; CUDA's programming guide."""

TOLD = "MIDFILL_BUILDS"
"""Names a file to which each build and what came of it is added, for `builds_report.py`."""

VECTOR_LOAD = re.compile(
    r"ld\.global(\.\w+)*\.(v4\.b32|v2\.b64)|cp\.async\.\w+\.shared\.global [^;]*, 0x10|cp\.async\.bulk"
)

NARROW_LOAD = re.compile(r"ld\.global\S*\.[bu](8|16)\b")
NARROW_STORE = re.compile(r"st\.global\S*\.[bu](8|16)\b")


class Build(msgspec.Struct, frozen=True):
    """One kernel for one set of constants."""

    module: str
    """In `midfill.kernels`."""
    kernel: str
    signature: Mapping[str, str]
    """Argument -> Triton's type, such as `*bf16`, `i32`, `fp32`; pointers are taken as aligned to 16 bytes."""
    constants: Mapping[str, int | float | bool | str | None]
    divisible: tuple[str, ...] = ()
    """Integer arguments that are multiples of 16, as strides are."""
    varying: tuple[str, ...] = ()
    """Integer arguments that differ from pass to pass, and so may not make another kernel of it."""
    num_warps: int = 4
    num_stages: int = 3
    targets: tuple[int, ...] = TARGETS


class Built(msgspec.Struct, frozen=True):
    """What the assembler says of it."""

    target: int
    registers: int
    """A thread."""
    spilled_bytes: int
    """Of stack, a thread."""
    shared_bytes: int
    """A program."""
    has_mma: bool
    """Whether it has matrix instructions."""
    has_vector_loads: bool
    """Whether it has loads or asynchronous copies of 16 bytes."""
    has_narrow_loads: bool
    """Whether it has loads of one number of 8 or 16 bits, as from an address that Triton knows nothing of."""
    has_narrow_stores: bool

    @property
    def fits(self) -> bool:
        return self.shared_bytes <= SHARED_LIMITS[self.target]


def compile_all(builds: list[Build]) -> list[list[Built]]:
    """For each of `builds`, what came out for each of its targets, in order. Fails where one does not compile."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-m", "tests.kernels.builds"],
            cwd=ROOT,
            env={**environment, "TRITON_CACHE_DIR": cache},
            input=msgspec.json.encode(builds),
            capture_output=True,
        )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    results = msgspec.json.decode(done.stdout, type=list[list[Built]])
    if told := os.environ.get(TOLD):
        with Path(told).open("ab") as file:
            for build, compiled in zip(builds, results, strict=True):
                file.write(msgspec.json.encode((build, compiled)) + b"\n")
    return results


def _compile(build: Build, target: int) -> Built:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel: Any = getattr(importlib.import_module(f"midfill.kernels.{build.module}"), build.kernel)
    kernel = getattr(kernel, "fn", kernel) if not hasattr(kernel, "arg_names") else kernel
    names = list(kernel.arg_names)
    unspecialised = {parameter.name for parameter in kernel.params if parameter.do_not_specialize}
    assert unspecialised == set(build.varying), f"{build.kernel}: not specialised on are {sorted(unspecialised)}"
    assert not unspecialised & set(build.divisible), f"{build.kernel}: nothing is known of {sorted(unspecialised)}"
    missing = set(names) - set(build.signature) - set(build.constants)
    assert not missing, f"{build.kernel}: neither in signature nor in constants: {sorted(missing)}"
    aligned = [name for name, kind in build.signature.items() if kind.startswith("*") or name in build.divisible]
    source = ASTSource(
        kernel,
        signature={name: build.signature.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in build.constants.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    options = {"num_warps": build.num_warps, "num_stages": build.num_stages}
    compiled: Any = triton.compile(source, target=GPUTarget("cuda", target, 32), options=options)
    ptx = compiled.asm["ptx"]
    registers, stack = _resources(compiled.asm["cubin"], Path(triton.__file__).parent)
    return Built(
        target,
        registers,
        stack,
        compiled.metadata.shared,
        bool(re.search(r"wgmma|mma\.sync|tcgen05\.mma", ptx)),
        bool(VECTOR_LOAD.search(ptx)),
        bool(NARROW_LOAD.search(ptx)),
        bool(NARROW_STORE.search(ptx)),
    )


def _resources(cubin: bytes, triton_directory: Path) -> tuple[int, int]:
    """Registers and bytes of stack of a thread."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        tool = triton_directory / "backends" / "nvidia" / "bin" / "cuobjdump"
        told = subprocess.run(
            [str(tool), "--dump-resource-usage", file.name], check=True, capture_output=True, text=True
        ).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", told)
    assert found, told
    return int(found[1]), int(found[2])


if __name__ == "__main__":
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Build])
    pairs = [(build, target) for build in wanted for target in build.targets]
    with ProcessPoolExecutor(2) as pool:  # CI has two cores
        built = pool.map(_compile, *zip(*pairs, strict=True))
        results = [[next(built) for _ in build.targets] for build in wanted]
    sys.stdout.write(json.dumps(msgspec.to_builtins(results)))
