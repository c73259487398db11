import pytest
import torch

from midfill.engine.loading import working_dtype
from midfill.engine.machine import examine


def test_what_torch_runs_on_is_measured() -> None:
    machine = examine()
    assert machine.torch is not None
    assert machine.cpu is not None
    assert machine.cpu.float32_gflops > 0
    assert machine.cpu.bfloat16_gflops > 0
    assert 0 < machine.free_bytes <= machine.total_bytes


def test_a_busy_machine_has_the_same_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dtype of a model hangs on nothing that is measured: the same seed gives the same fill."""
    before = examine().cpu
    monkeypatch.setattr("midfill.engine.machine._matmul_gflops", lambda dtype: {torch.float32: 1.0}.get(dtype, 9.0))
    after = examine().cpu
    assert before is not None
    assert after is not None
    assert after.bfloat16_gflops > after.float32_gflops
    assert before.has_bfloat16 == after.has_bfloat16 == (working_dtype(torch.device("cpu")) == torch.bfloat16)
