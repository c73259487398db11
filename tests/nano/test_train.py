"""`engine/nano/train.py` and `export.py`: a run resumes where it stopped, and what it leaves is a checkpoint."""

import argparse
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from export import SHARD_BYTES, blended, export, exported_weights, trained_weights, write_weights
from schedule import rate_scale
from shapes import SHAPES
from train import Curve, Optimizer, Run, _resume, _save, new_model, start_from

from midfill.engine.checkpoint import load
from midfill.engine.errors import CheckpointError
from midfill.engine.installed import embedded_model

TINY = {**SHAPES["S8"], "hidden_size": 32, "intermediate_size": 32, "moe_intermediate_size": 16, "pattern": "SF"}
"""A shape for steps that take no time."""


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
    optimizer = Optimizer(new_model("S8", 8192))
    stepped(optimizer, range(2))
    _save(path, optimizer, step=2, spent_s=9.5, tokens=77)
    return path


def test_a_resumed_run_takes_the_steps_of_one_that_went_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(SHAPES, "T", TINY)

    def fresh(seed: int) -> Optimizer:
        torch.manual_seed(seed)
        return Optimizer(new_model("T", 8192).bfloat16())

    whole, stopped, resumed = fresh(0), fresh(0), fresh(1)
    stepped(whole, range(3))
    stepped(stopped, range(2))
    _save(tmp_path / "checkpoint", stopped, step=2, spent_s=9.5, tokens=77)
    assert _resume(tmp_path / "checkpoint", resumed) == (2, 9.5, 77)
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


def test_a_run_may_start_from_what_a_piece_handed_out(checkpoint: Path, tmp_path: Path) -> None:
    """No tokenizer is among it: what comes back from a lent machine is counted."""
    weights = trained_weights(checkpoint)
    write_weights(weights, "S8", tmp_path)
    optimizer = Optimizer(new_model("S8", 8192))
    start_from(tmp_path, optimizer)
    for name, weight in weights.items():
        assert torch.equal(optimizer.masters[name], weight.bfloat16().float()), name


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a corpus, for a run of a tiny shape that nothing compiles."""
    monkeypatch.setitem(SHAPES, "T", TINY)
    monkeypatch.setenv("PATH", "")
    for split in ("train", "val"):
        np.save(tmp_path / f"{split}.npy", np.tile(np.arange(100, 150, dtype=np.uint16), 80))
        np.save(tmp_path / f"{split}_docs.npy", np.array([0, 4000]))
        np.save(tmp_path / f"{split}_lang.npy", np.array([7], dtype=np.uint8))
    return tmp_path


def arguments(work: Path, **changed: object) -> argparse.Namespace:
    options = {"shape": "T", "seconds": 1e9, "piece_s": 0.0, "documents": 2, "readers": 0, "rate": 1.0, "seed": 0}
    paths = {"work": work, "weights": None, "out": None, "tokenizer": embedded_model() / "tokenizer.json"}
    return argparse.Namespace(**{**options, **paths, "save_every_s": math.inf, **changed})


def piece(work: Path, steps: int, **changed: object) -> Run:
    """A piece of a run that took so many steps; nothing is saved yet."""
    run = Run(arguments(work, **changed), rank=0, workers=1)
    for _ in range(steps):
        run.learn(0.1)
    return run


def told(work: Path) -> list[dict[str, float]]:
    """What a run says of its checkpoints."""
    lines = (work / "T.curve.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if "val_causal" in entry]


def test_a_piece_ends_with_a_checkpoint_from_which_the_next_goes_on(work: Path) -> None:
    piece(work, 20).train()
    second = piece(work, 20, out=work / "out")
    assert second.step == 40
    second.train()
    first, last = told(work)
    assert (first["step"], last["step"]) == (20, 40)
    assert last["seconds"] >= first["seconds"]
    assert last["val_causal"] < first["val_causal"]
    handed, kept = exported_weights(work / "out"), trained_weights(work / "T.checkpoint.safetensors")
    assert all(torch.equal(handed[name], kept[name].bfloat16().float()) for name in kept)
    assert (work / "out/T.curve.jsonl").read_bytes() == (work / "T.curve.jsonl").read_bytes()


def test_a_run_is_over_when_its_seconds_are_used_up(work: Path) -> None:
    piece(work, 3, seconds=1.0).save(elapsed_s=1.0)
    piece(work, 0, seconds=1.0, piece_s=math.inf).train()
    assert [entry["step"] for entry in told(work)] == [3, 3]


def test_losses_that_are_not_finite_end_a_run_and_leave_its_checkpoint(work: Path) -> None:
    piece(work, 1).train()
    before = trained_weights(work / "T.checkpoint.safetensors")
    with pytest.raises(FloatingPointError, match="finite losses are wanted"):
        piece(work, 0, rate=math.nan, piece_s=math.inf).train()
    with pytest.raises(FloatingPointError, match="at step 3 they are"):
        piece(work, 2, rate=math.nan).train()
    after = trained_weights(work / "T.checkpoint.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_folder_without_weights_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        start_from(tmp_path, Optimizer(new_model("S8", 8192)))


def test_a_model_of_another_shape_is_no_start() -> None:
    with pytest.raises(ValueError, match="another"):
        start_from(embedded_model(), Optimizer(new_model("M24", 8192)))
