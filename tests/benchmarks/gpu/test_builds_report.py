"""`tests.benchmarks.gpu.builds_report`: the table, and that it is of what the tests build."""

from pathlib import Path

import msgspec
import pytest
from tests.benchmarks.gpu.builds_report import Told, builds_table
from tests.kernels.builds import TOLD, Build, Built, compile_all

from midfill.kernels.gelu import BLOCK


def built(target: int, registers: int, shared_bytes: int, spilled_bytes: int = 0) -> Built:
    return Built(target, registers, spilled_bytes, shared_bytes, True, True, False, False)


def test_a_kernel_is_a_row_with_the_most_that_its_builds_take():
    one, other = (Build("gelu", "_gelu_kernel", {}, {"SIZE": size}) for size in (1, 2))
    text = builds_table(
        [(one, [built(80, 20, 2048), built(90, 30, 0)]), (other, [built(80, 10, 4096, 8), built(90, 40, 512)])]
    )
    assert text.splitlines()[-1] == "| gelu.gelu | 2 | 20, 4.0, 8 |  | 40, 0.5, 0 |  |"


def test_what_is_built_is_told_where_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "builds.jsonl"
    monkeypatch.setenv(TOLD, str(path))
    arguments = {"gate_up_ptr": "*bf16", "out_ptr": "*bf16", "row_stride": "i32", "size": "i32"}
    build = Build("gelu", "_gelu_mul_kernel", arguments, {"BLOCK": BLOCK}, ("row_stride", "size"), targets=(90,))
    (results,) = compile_all([build])
    assert results[0].registers > 0
    assert [msgspec.json.decode(line, type=Told) for line in path.read_bytes().splitlines()] == [(build, results)]
