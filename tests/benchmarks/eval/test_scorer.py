"""What the data's own scorer says is read from it, and agrees with what the engine says of the same fills."""

import gzip
import json
from pathlib import Path

import pytest
from tests.benchmarks.eval.scorer import scores
from tests.benchmarks.gpu.results import ROOT

from midfill.engine.quality import edit_similarity

REAL = ROOT.parent / "shared" / "bench" / "score.py"
CASES = {
    "same": ("x = ", "1", "\n", "1"),
    "near": ("x = ", "total", "\n", "totals[0]"),
    "far": ("print(", "größe", ")\n", "x("),
    "empty": ("x = 1", "", "\n", ""),
    "nothing": ("x = ", "12", "\n", ""),
}
"""Text before, true text, text after, fill."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl.gz"
    rows = (
        {"id": name, "language": "python", "exec": "append", "test": "x"}
        | {"prefix": prefix, "middle": middle, "suffix": suffix}
        for name, (prefix, middle, suffix, _) in CASES.items()
    )
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    path = tmp_path / "fills.jsonl"
    path.write_text("".join(json.dumps({"id": id, "completion": case[3]}) + "\n" for id, case in CASES.items()))
    return path


@pytest.mark.skipif(not REAL.is_file(), reason="the evaluation data's scorer is not beside the project")
def test_the_real_scorer_agrees_on_exact_and_similarity(data: Path, predictions: Path) -> None:
    found = scores(REAL, [data], predictions, list(CASES))
    assert [(each.id, each.syntax, each.solved) for each in found] == [
        ("same", True, True),
        ("near", True, False),
        ("far", False, False),
        ("empty", True, True),
        ("nothing", False, False),
    ]
    details = predictions.with_suffix(".scores.jsonl").read_text(encoding="utf-8").splitlines()
    for (_, middle, _, fill), row in zip(CASES.values(), map(json.loads, details), strict=True):
        assert row["em"] == (fill == middle)
        assert row["es"] == pytest.approx(edit_similarity(fill, middle))


def test_what_was_said_before_is_kept_and_a_new_prediction_asks_again(
    tmp_path: Path, data: Path, predictions: Path
) -> None:
    scorer = tmp_path / "score.py"
    scorer.write_text("raise SystemExit('no runner')", encoding="utf-8")
    details = predictions.with_suffix(".scores.jsonl")
    details.write_text('{"id": "same", "pass": true, "em": true}\n', encoding="utf-8")
    [kept] = scores(scorer, [data], predictions, ["same"])
    assert (kept.solved, kept.syntax) == (True, None)
    with pytest.raises(SystemExit, match=r"score\.py failed: no runner"):
        scores(scorer, [data], predictions, ["same", "near"])
