"""The report says what was measured; plots are well-formed and hold what they are given."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.benchmarks.eval.plots import Series, plot, rounded_up
from tests.benchmarks.eval.report import HEAD, write_report


def between(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


def record(name: str, variant: str, exact: float) -> dict[str, Any]:
    names = "similarity", "same_lines", "same_tokens", "about_tokens", "shown", "solved"
    return {
        **{each: between(0.5) for each in names},
        **{
            "set": name,
            "variant": variant,
            "records": 40,
            "groups": 8,
            "exact": between(exact),
            "difference": between(0.1),
        },
        **{"parses": None, "intact": None, "exact_of_shown": None, "steps": 4.0, "p50_ms": 30.0, "p90_ms": 50.0},
        "calibration_error": 0.123,
        "reliability": [{"confidence": sure, "exact": sure - 0.1, "records": 20} for sure in (0.25, 0.75)],
        "lengths": [{"tokens": those, "records": 20, "same": 0.5, "about": 0.8} for those in ([1, 1], [16, None])],
    }


FOUND: dict[str, Any] = {
    "machine": {"device": "C<1>", "threads": 1, "midfill": "0", "torch": "2", "python": "3", "date": "2026-01-01"},
    "model": "0123",
    "sources": "4567",
    "limit": 40,
    "variants": {
        "canvas": {"does": "the canvas", "set": ["search=none"], "asked": {"mode": "fast", "seed": 0}},
        "all": {"does": "everything", "set": [], "asked": {"mode": "fast"}},
    },
    "records": [record("one", "canvas", 0.2), record("two", "canvas", 0.4), record("one", "all", 0.3)],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_report(FOUND, tmp_path / "results")
    return tmp_path / "results"


def test_the_report_is_readable_again(folder: Path) -> None:
    assert json.loads((folder / "eval.json").read_text(encoding="utf-8")) == FOUND
    assert not list(folder.glob("*.part"))


def test_each_set_has_a_table_with_a_row_a_variant(folder: Path) -> None:
    text = (folder / "eval.md").read_text(encoding="utf-8")
    one = text.split("## one\n")[1].split("## two\n")[0]
    rows = [line.strip("| ").split(" | ") for line in one.splitlines() if line.startswith("|")]
    assert tuple(rows[0]) == HEAD
    assert all(len(line.split("|")) == len(HEAD) + 2 for line in one.splitlines() if line.startswith("|"))
    assert [row[:3] for row in rows[2:]] == [
        ["canvas", "20.0 (15.0 to 25.0)", "+10.0 (+5.0 to +15.0)"],
        ["all", "30.0 (25.0 to 35.0)", "+10.0 (+5.0 to +15.0)"],
    ]


def test_the_mean_is_told_only_of_variants_that_were_tried_on_all_sets(folder: Path) -> None:
    means = (folder / "eval.md").read_text(encoding="utf-8").split("## Mean of all sets")[1].split("## one")[0]
    assert "| canvas | 30.0 |" in means
    assert "| all |" not in means


def test_the_plots_are_there_and_well_formed(folder: Path) -> None:
    text = (folder / "eval.md").read_text(encoding="utf-8")
    plots = sorted(folder.glob("*.svg"))
    assert [path.stem for path in plots] == ["eval_latency", "eval_lengths", "eval_reliability"]
    for path in plots:
        assert f"]({path.name})" in text
        told = "".join(ElementTree.parse(path).getroot().itertext())
        assert "canvas" in told
        assert "all" in told


def test_points_lie_within_the_axes_and_names_are_escaped() -> None:
    drawn = ElementTree.fromstring(plot("t", "x", "y", [Series("<a & b>", [(0.0, 0.0), (10.0, 2.5), (5.0, 1.25)])]))
    name = "{http://www.w3.org/2000/svg}"
    places = [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in drawn.iter(f"{name}circle")]
    assert places == [(60.0, 370.0), (560.0, 40.0), (310.0, 205.0)]
    assert "<a & b>" in "".join(drawn.itertext())


@pytest.mark.parametrize(
    ("most", "end"), [(1.0, 1.0), (0.21, 0.25), (0.3, 0.5), (2.0, 2.5), (960.0, 1000.0), (1463.0, 2500.0)]
)
def test_an_axis_ends_at_a_round_figure(most: float, end: float) -> None:
    assert rounded_up(most) == pytest.approx(end)


def test_a_plot_of_nothing_is_a_plot() -> None:
    ElementTree.fromstring(plot("t", "x", "y", []))
