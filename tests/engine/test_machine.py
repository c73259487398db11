from midfill.engine.machine import examine


def test_what_torch_runs_on_is_measured() -> None:
    machine = examine()
    assert machine.torch is not None
    assert machine.cpu is not None
    assert machine.cpu.float32_gflops > 0
    assert machine.cpu.bfloat16_gflops > 0
    assert 0 < machine.free_bytes <= machine.total_bytes
