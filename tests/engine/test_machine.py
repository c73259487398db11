import pytest
import torch

from midfill.engine.machine import examine, names_bfloat16, working_dtype


def test_what_torch_runs_on_is_measured() -> None:
    machine = examine()
    assert machine.torch is not None
    assert machine.cpu is not None
    assert machine.cpu.float32_gflops > 0
    assert machine.cpu.bfloat16_gflops > 0
    assert 0 < machine.free_bytes <= machine.total_bytes


@pytest.mark.parametrize(
    ("cpuinfo", "is_named"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx512f amx_bf16 amx_tile\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n", True),
        ("processor\t: 0\nmodel name\t: bf16\nflags\t\t: fpu avx2 avx512f\nvmx flags\t: avx512_bf16\n", False),
        ("", False),
    ],
)
def test_bfloat16_is_among_the_flags(cpuinfo: str, is_named: bool) -> None:
    assert names_bfloat16(cpuinfo) == is_named


def test_a_models_dtype_is_what_the_processor_has() -> None:
    """Not what is measured, which a busy machine changes: the same seed gives the same fill."""
    cpu = examine().cpu
    assert cpu is not None
    assert cpu.has_bfloat16 == (working_dtype(torch.device("cpu")) == torch.bfloat16)


def test_float16_is_never_the_working_dtype():
    assert working_dtype(torch.device("cpu")) in (torch.float32, torch.bfloat16)
    assert working_dtype(torch.device("cuda")) == torch.bfloat16
