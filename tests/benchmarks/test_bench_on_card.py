"""The benchmarks of `make gpu` run through on tiny shapes, where no time means anything."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.benchmarks import bench_engine, bench_kernels

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def arguments(folder: Path) -> argparse.Namespace:
    return argparse.Namespace(tiny=True, force=False, seconds=600.0, folder=folder)


def records(folder: Path, part: str) -> list[dict[str, Any]]:
    found = json.loads((folder / f"gpu_{part}.json").read_text())
    assert found["skipped"] == 0
    assert [record for record in found["records"] if "error" in record] == []
    return found["records"]


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_each_kernel_is_timed_beside_others(tmp_path: Path) -> None:
    bench_kernels.run(arguments(tmp_path), DEVICE)
    found = records(tmp_path, "kernels")
    ours = {record["kernel"] for record in found if record["by"] == "midfill"}
    assert ours >= {"rms_norm", "attend", "run_experts", "row_statistics", "settle", "store", "qkv_norm_rope"}
    assert {record["by"] for record in found} >= {"grouped_mm with sort", "SDPA with cat", "compiled definition"}
    assert all(record["us"] > 0 for record in found)


def test_the_engine_is_timed_beside_its_floor_and_transformers(tmp_path: Path) -> None:
    bench_engine.run(arguments(tmp_path), DEVICE)
    found = records(tmp_path, "engine")
    assert {record["what"] for record in found if record["by"] == "midfill"} >= {
        "step",
        "fill",
        "read",
        "draft",
        "prefill",
    }
    assert {record["what"] for record in found if record["by"] == "transformers"} == {"step", "prefill"}
    assert all(record["distinct_experts"] <= 4 for record in found if "ratio" in record)
    assert next(record for record in found if record["what"] == "agreement")["relative_difference"] < 1e-4


def test_what_time_does_not_allow_is_counted(tmp_path: Path) -> None:
    late = argparse.Namespace(**{**vars(arguments(tmp_path)), "seconds": -1.0})
    bench_kernels.run(late, DEVICE)
    found = json.loads((tmp_path / "gpu_kernels.json").read_text())
    assert found["skipped"] > 20
    assert found["records"] == []
