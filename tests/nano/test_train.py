"""`engine/nano/train.py` and `export.py`: a run resumes where it stopped, and what it leaves is a checkpoint."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from export import SHARD_BYTES, blended, export, trained_weights
from schedule import rate_scale
from train import Curve, Optimizer, _resume, _save, new_model, start_from

from midfill.engine.checkpoint import load
from midfill.engine.installed import embedded_model


def stepped(optimizer: Optimizer, steps: range) -> None:
    """Steps on made-up gradients that depend on the step only."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for parameter in optimizer.working.values():
            parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
        optimizer.step(rate_scale(0.2), workers=1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of two steps leaves."""
    path = tmp_path_factory.mktemp("run") / "S8.checkpoint.safetensors"
    torch.manual_seed(0)
    optimizer = Optimizer(new_model("S8", 8192).bfloat16())
    stepped(optimizer, range(2))
    _save(path, optimizer, step=2, spent_s=9.5, tokens=77)
    return path


def test_a_resumed_run_takes_the_steps_of_one_that_went_on(checkpoint: Path):
    torch.manual_seed(0)
    whole = Optimizer(new_model("S8", 8192).bfloat16())
    stepped(whole, range(3))
    torch.manual_seed(1)
    resumed = Optimizer(new_model("S8", 8192).bfloat16())
    assert _resume(checkpoint, resumed) == (2, 9.5, 77)
    stepped(resumed, range(2, 3))
    for name, master in whole.masters.items():
        assert torch.equal(master, resumed.masters[name]), name


def test_a_run_without_a_checkpoint_starts_at_nothing(tmp_path: Path):
    assert _resume(tmp_path / "none", Optimizer(new_model("S8", 8192).bfloat16())) == (0, 0.0, 0)


def test_the_exported_directory_loads_and_its_files_are_small(checkpoint: Path, tmp_path: Path):
    shutil.copy(embedded_model() / "tokenizer.json", tmp_path)
    export(trained_weights(checkpoint), "S8", tmp_path)
    assert all(path.stat().st_size < 16e6 for path in tmp_path.iterdir())
    assert SHARD_BYTES < 16e6
    model = load(tmp_path, torch.device("cpu"), torch.float32).model
    torch.manual_seed(1)
    optimizer = Optimizer(new_model("S8", 8192))
    _resume(checkpoint, optimizer)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, optimizer.masters[name].bfloat16().float()), name


def test_a_resumed_run_rewrites_the_curve_after_its_checkpoint(tmp_path: Path):
    curve = Curve(tmp_path / "curve.jsonl")
    curve.cut_after(0)
    for step in (20, 40, 60):
        curve.add(step, step / 2, 100 * step, causal=3.0)
    curve.cut_after(40)
    curve.add(60, 31.0, 6000, causal=2.9)
    entries = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [(entry["step"], entry["causal"]) for entry in entries] == [(20, 3.0), (40, 3.0), (60, 2.9)]


def test_blended_weights_lie_between_both_checkpoints() -> None:
    first, second = {"norm": torch.tensor([1.0, 2.0])}, {"norm": torch.tensor([3.0, -2.0])}
    torch.testing.assert_close(blended(first, second, 0.25)["norm"], torch.tensor([1.5, 1.0]))


def test_a_run_may_start_from_an_exported_model() -> None:
    torch.manual_seed(0)
    optimizer = Optimizer(new_model("S8", 8192))
    start_from(embedded_model(), optimizer)
    shipped = load(embedded_model(), torch.device("cpu"), torch.float32).model
    for name, parameter in shipped.named_parameters():
        assert torch.equal(optimizer.masters[name], parameter), name
        assert torch.equal(optimizer.working[name], parameter), name


def test_a_model_of_another_shape_is_no_start() -> None:
    with pytest.raises(ValueError, match="another"):
        start_from(embedded_model(), Optimizer(new_model("M24", 8192)))
