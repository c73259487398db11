"""Tables and plots say what was measured, and where nothing was, that."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.benchmarks.gpu.report import NOTHING, PARTS, drafting, table, tables, write_between, write_plots

MACHINE = {"device": "H", "torch": "2", "triton": "3", "python": "3.12", "date": "2026-01-01"}
PEAKS = {"copy_gb_s": 4300.0, "product_tflops": 790.0}
STEP = {"what": "step", "canvas": 64, "canvases": 1, "context": 4096}
CASE = {"kernel": "gelu_mul", "shape": "64 rows"}
FOUND: dict[str, dict[str, Any]] = {
    "engine": {
        **PEAKS,
        "skipped": 3,
        "records": [
            {**STEP, "by": "midfill", "ms": 15.0, "floor_ms": 12.0, "ratio": 1.25, "distinct_experts": 126.0},
            {**STEP, "by": "transformers", "ms": 60.0},
            {**STEP, "context": 512, "by": "midfill", "error": "OutOfMemoryError: no"},
            {**STEP, "what": "profile", "by": "midfill", "kernels": [["_gate_up_kernel", 30.0, 6000.0]]},
        ],
    },
    "kernels": {
        **PEAKS,
        "records": [
            {**CASE, "by": "midfill", "us": 2.5, "hot_us": 2.0, "gb_s": 300.0, "share": 0.5},
            {**CASE, "by": "compiled definition", "us": 4.0},
            {**CASE, "by": "another", "us": 3.5},
        ],
    },
    "tests": {
        "records": [
            {"suite": "kernels", "passed": 9, "skipped": 1, "failures": [{"test": "a", "message": "b"}], "wall_s": 7.5}
        ]
    },
    "nano": {
        "records": [
            {"script": "infill", "prompt_tokens": 480, "hole_tokens": 16, "steps": 9, "p50_ms": 30.0, "p90_ms": 40.0}
        ]
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, found in FOUND.items():
        (tmp_path / f"gpu_{part}.json").write_text(json.dumps({"machine": MACHINE, **found}))
    return tmp_path


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    assert tables(tmp_path) == dict.fromkeys(PARTS, NOTHING)


def test_ours_stand_beside_transformers_and_the_fastest_other(folder: Path) -> None:
    found = tables(folder)
    assert "| denoise step, 1 x 64, behind 4096 | 15.0 | 12.0 | 1.25 | 126.0 | 60.0 | 4.0x |" in found["engine"]
    assert "| denoise step, 1 x 64, behind 512 | OutOfMemoryError: no |" in found["engine"]
    assert "| _gate_up_kernel | 30.0 | 6000.0 |" in found["engine"]
    assert "| gelu_mul | 64 rows | 2.5 | 2.0 | 300.0 | 0.5 | 3.5 (another) |" in found["kernels"]
    assert (
        "A copy moves 4.30 TB/s, a large product runs at 790 TFLOP/s. Left out for want of time: 3." in found["engine"]
    )
    assert "- a: b" in found["tests"]
    assert "| infill | 480 | 16 | 9 | 30.0 | 40.0 |" in found["nano"]


def test_a_table_has_a_cell_for_nothing() -> None:
    assert table(("a", "b"), [(1, None)]) == "| a | b |\n| --- | --- |\n| 1 |  |"


def test_tables_go_between_their_markers_again_and_again(folder: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- gpu:nano -->\nold\n<!-- /gpu:nano -->\nafter\n")
    write_between(readme, tables(folder))
    once = readme.read_text()
    write_between(readme, tables(folder))
    assert readme.read_text() == once
    assert "old" not in once
    assert once.startswith("before\n<!-- gpu:nano -->\nH, torch 2")
    assert once.endswith("|\n<!-- /gpu:nano -->\nafter\n")


def test_plots_are_drawings_with_a_bar_for_each_figure(folder: Path, tmp_path: Path) -> None:
    write_plots(folder, tmp_path / "plots")
    for name, bars in (("step_time.svg", 2), ("kernel_share.svg", 1)):
        drawing = ElementTree.parse(tmp_path / "plots" / name).getroot()
        rects = [each for each in drawing.iter() if each.tag.endswith("rect")]
        assert sum(each.get("fill") == "#4a78b5" for each in rects) == bars
        assert any(each.get("fill") == "#c0392b" for each in rects)


def test_the_speed_of_drafting_is_that_of_its_rounds() -> None:
    records = [
        {"what": "read", "tokens": 1, "ms": 2.0},
        {"what": "read", "tokens": 3, "ms": 3.5},
        {"what": "draft", "drafts": 2, "ms": 0.5},
        {"what": "draft", "drafts": 6, "ms": 1.0},  # nobody timed its verification
    ]
    assert drafting(records) == [(2, 4.0, round((1 + 0.6 + 0.36) / 2, 2), round((1 + 0.8 + 0.64) / 2, 2))]
