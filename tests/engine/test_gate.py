"""`midfill.engine.gate`: what is known of a fill, how sure that makes it, and which are shown."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.errors import CheckpointError
from midfill.engine.gate import GATE, MOST_NATS, Features, Gate, MeanGate, Term, Thresholds, features_of, read_gate

FILL, HEAD, BARE = [-0.5, -1.5], [-1.0, -0.25], [-3.0, -2.0]
EAGERNESS = ("low", "balanced", "high")
NATS = st.lists(st.floats(-30, 0), min_size=1, max_size=8)


def made_features(**given: Any) -> Features:
    rest = {"runner_up": None, "passes": 7, "errors": 0, "repeats": 0, "line": "x = "} | given
    return features_of("a b", FILL, HEAD, BARE, **rest)


def gate(bias: float = 0.0, **weights: float) -> Gate:
    terms = {name: Term(0.0, 1.0, weight) for name, weight in weights.items()}
    return Gate(bias, terms, Thresholds(0.6, 0.3, 0.1))


def test_features_are_of_the_fill_and_the_token_behind_it():
    found = made_features()
    assert (found.mean, found.total, found.least) == (-1.0, -3.0, -1.5)
    assert (found.first, found.end) == (-0.5, -1.0)
    assert found.spread == pytest.approx(math.sqrt(0.5 / 3))
    assert found.gain == 3.75
    assert found.tokens == pytest.approx(math.log(3))
    assert found.characters == pytest.approx(math.log(4))
    assert found.passes == 7


def test_the_margin_is_to_the_best_fill_of_another_text():
    assert made_features(runner_up=-4.0).margin == pytest.approx(-3.25 + 4.0)
    assert made_features(runner_up=None).margin == MOST_NATS
    assert made_features(runner_up=-500.0).margin == MOST_NATS


@pytest.mark.parametrize(("line", "is_new"), [("", 1.0), ("    \t", 1.0), ("    x", 0.0)])
def test_a_line_with_nothing_but_white_space_before_the_cursor_is_a_new_one(line: str, is_new: float):
    assert made_features(line=line).new_line == is_new


def test_more_errors_than_three_are_no_worse():
    assert [made_features(errors=count).errors for count in (0, 2, 3, 40)] == [0, 2, 3, 3]


def test_the_empty_fill_has_features_too():
    assert features_of("", [], HEAD, HEAD, runner_up=None, passes=1, errors=0, repeats=0, line="").gain == 0


def test_confidence_is_logistic_in_the_deviations_from_the_mean():
    one = Gate(0.5, {"mean": Term(-2.0, 0.5, 0.7)}, Thresholds(1, 1, 1))
    assert one.confidence(made_features()) == pytest.approx(1 / (1 + math.exp(-(0.5 + 0.7 * 2))))


def test_no_single_feature_overrules_the_others():
    stretched = gate(passes=1.0)
    assert stretched.confidence(made_features(passes=4)) == stretched.confidence(made_features(passes=4000))


@given(fill=NATS, head=NATS, bare=NATS, runner_up=st.none() | st.floats(-900, 0), bias=st.floats(-1e6, 1e6))
def test_confidence_is_a_probability_whatever_the_features(
    fill: list[float], head: list[float], bare: list[float], runner_up: float | None, bias: float
):
    found = features_of("x", fill, head, bare, runner_up, passes=90, errors=9, repeats=9, line="")
    assert 0 <= gate(bias, mean=3.0, total=-5.0, gain=2.0).confidence(found) <= 1
    assert 0 <= MeanGate(0.3).confidence(found) <= 1


@pytest.mark.parametrize("shows", [gate().shows, MeanGate(0.3).shows])
def test_an_eager_gate_shows_all_that_a_reluctant_one_does(shows: Any):
    for confidence in (step / 50 for step in range(51)):
        low, balanced, high = (shows(confidence, eagerness) for eagerness in EAGERNESS)
        assert low <= balanced <= high
    assert [shows(0.2, eagerness) for eagerness in EAGERNESS] == [False, False, True]
    assert [shows(0.4, eagerness) for eagerness in EAGERNESS] == [False, True, True]


def test_without_a_fitted_gate_the_geometric_mean_decides():
    assert MeanGate(0.3).confidence(made_features()) == pytest.approx(math.exp(-1.0))
    assert MeanGate(0.3).shows(0.3, "balanced")
    assert not MeanGate(0.3).shows(0.29, "balanced")


def test_a_checkpoint_may_have_no_gate(tmp_path: Path):
    assert read_gate(tmp_path) is None


def test_a_gate_is_read_as_it_was_written(tmp_path: Path):
    content = msgspec.to_builtins(gate(0.25, mean=1.5)) | {"notes": "of whoever fitted it"}
    (tmp_path / GATE).write_text(json.dumps(content), encoding="utf-8")
    assert read_gate(tmp_path) == gate(0.25, mean=1.5)


@pytest.mark.parametrize(
    ("part", "value", "complaint"),
    [
        ("bias", "much", "Expected `float`"),
        ("terms", {"luck": {"mean": 0, "scale": 1, "weight": 1}}, "no such features: luck"),
        ("terms", {"mean": {"mean": 0, "scale": 0, "weight": 1}}, "Expected `float` > 0"),
        ("terms", {"mean": {"mean": 0, "weight": 1}}, "missing required field `scale`"),
        ("thresholds", {"low": 0.1, "balanced": 0.3, "high": 0.6}, "must fall with eagerness"),
        ("thresholds", {"low": 0.6, "balanced": 0.3}, "missing required field `high`"),
        ("thresholds", {"low": 1.5, "balanced": 0.3, "high": 0.1}, "Expected `float` <= 1"),
    ],
)
def test_a_gate_that_is_wrong_is_named(part: str, value: object, complaint: str, tmp_path: Path):
    content = msgspec.to_builtins(gate(mean=1.0)) | {part: value}
    (tmp_path / GATE).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=f"gate.json: wanted a valid gate.json, got .*{complaint}"):
        read_gate(tmp_path)
