"""What the assembler says of each kernel, as a table between markers in a file; needs no card.

    python -m tests.benchmarks.gpu.builds_report kernels/README.md

runs the tests of `tests/kernels` that have to do with compiling, and fails where one does.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import msgspec
from tests.benchmarks.gpu.report import table, write_between
from tests.kernels.builds import ROOT, TARGETS, TOLD, Build, Built

Told = tuple[Build, list[Built]]


def builds_table(told: Sequence[Told]) -> str:
    """A row for each kernel, over all the constants that it was built for."""
    kernels: dict[str, list[Told]] = {}
    for each in told:
        name = each[0].kernel.strip("_").removesuffix("_kernel")
        kernels.setdefault(f"{each[0].module}.{name}", []).append(each)
    rows = [(name, len(of_it), *(_worst(of_it, target) for target in TARGETS)) for name, of_it in kernels.items()]
    text = table(["kernel", "builds", *(f"sm_{target}" for target in TARGETS)], rows)
    what = "registers a thread, KiB of shared memory, bytes spilled a thread: the most of any build"
    return f"Triton {version('triton')}; {what}.\n\n{text}"


def _worst(told: Sequence[Told], target: int) -> str:
    """The most that any build for `target` takes of each."""
    found = [each for each in chain.from_iterable(compiled for _, compiled in told) if each.target == target]
    if not found:
        return ""
    registers, shared = max(each.registers for each in found), max(each.shared_bytes for each in found) / 1024
    return f"{registers}, {shared:.1f}, {max(each.spilled_bytes for each in found)}"


def compiled_by_tests() -> list[Told]:
    """All builds of those tests. Raises `CalledProcessError` where one fails."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "builds.jsonl"
        line = [sys.executable, "-m", "pytest", "-q", "tests/kernels", "-k", "compile"]
        subprocess.run(line, cwd=ROOT, env={**os.environ, TOLD: str(path)}, check=True, stdout=sys.stderr)
        return [msgspec.json.decode(each, type=Told) for each in path.read_bytes().splitlines()]


def main() -> None:
    """Writes the table into the files that are named."""
    text = builds_table(sorted(compiled_by_tests(), key=lambda told: (told[0].module, told[0].kernel)))
    for name in sys.argv[1:]:
        write_between(Path(name), {"builds": text})


if __name__ == "__main__":
    main()
