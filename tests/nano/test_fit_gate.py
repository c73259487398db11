"""`engine/nano/fit_gate.py`: from fills and their outcomes to a calibrated gate."""

from pathlib import Path

import numpy as np
import pytest
from fit_gate import (
    LOW_PRECISION,
    Row,
    columns,
    confidences,
    fit,
    halves,
    observe,
    read_rows,
    report,
    thresholds,
    write_rows,
)
from gaps import Gap

from midfill.engine.gate import Features
from midfill.engine.loading import open_infiller
from midfill.engine.reliability import calibration_error, reliability

NUM_FEATURES = len(Features._fields)


def drawn(seed: int, count: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, outcomes and the chances [N] that they were drawn with, which hang on two of the features."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, NUM_FEATURES)) * 3 - 1
    chances = 1 / (1 + np.exp(-(features[:, 0] - 0.5 * features[:, 3] - 1)))
    return features, (rng.random(count) < chances).astype(float), chances


def test_the_chances_that_outcomes_were_drawn_with_are_found_again():
    gate = fit(*drawn(0)[:2])
    features, is_exact, chances = drawn(1)
    found = confidences(gate, features)
    assert np.abs(found - chances).mean() < 0.03
    assert calibration_error(reliability(found.tolist(), is_exact.tolist())) < 0.04


def test_a_feature_that_never_changes_is_left_out():
    features, is_exact, _ = drawn(0)
    features[:, 2] = 7.0
    assert Features._fields[2] not in fit(features, is_exact).terms


def test_outcomes_that_are_told_apart_without_fail_give_no_endless_weights():
    features, _, _ = drawn(0, 60)
    gate = fit(features, (features[:, 0] > 0).astype(float))
    assert max(abs(term.weight) for term in gate.terms.values()) < 20


def test_levels_are_in_order_and_low_keeps_its_precision():
    confidence = 0.8 * np.linspace(0, 1, 1000) ** 8  # as rarely sure as nano is
    levels = thresholds(confidence)
    assert levels.low >= levels.balanced >= levels.high
    assert confidence[confidence >= levels.low].mean() == pytest.approx(LOW_PRECISION, abs=0.01)
    assert confidence[confidence >= levels.high].sum() >= 0.95 * confidence.sum()


def test_fills_that_are_never_sure_still_have_levels():
    levels = thresholds(np.linspace(0.01, 0.2, 50))
    assert levels.low == pytest.approx(0.2)


def rows_of(*packages: str) -> list[Row]:
    features, is_exact, _ = drawn(3, len(packages))
    return [
        Row(package, bool(exact), Features(*np.round(row, 4).tolist()))
        for package, exact, row in zip(packages, is_exact, features, strict=True)
    ]


def test_no_package_is_both_fitted_on_and_examined():
    learned, examined = halves(rows_of("a", "b", "c", "a", "d", "b"))
    assert {row.package for row in learned} == {"a", "c"}
    assert {row.package for row in examined} == {"b", "d"}


def test_rows_are_read_as_they_were_written(tmp_path: Path):
    rows = rows_of("a", "b")
    write_rows(tmp_path / "rows.jsonl", rows)
    assert read_rows(tmp_path / "rows.jsonl") == rows


def test_a_report_has_a_line_a_bin_and_a_level():
    rows = rows_of(*"abcd" * 50)
    assert len(report(fit(*columns(rows)), rows)) == 1 + 10 + 3


def test_what_nano_fills_is_observed():
    prefix = "import os\nimport sys\n\n\ndef main():\n    for number in ra"
    gap = Gap("one", "python", prefix, "(10):\n        print(number)\n", "nge")
    infiller = open_infiller()
    row = observe(infiller, gap)
    assert row.is_exact
    assert row.features.total > -3
    assert row.features.errors == 0
    assert row.features.gain > 0
    assert infiller.documents == 0
