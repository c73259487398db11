"""`midfill.engine.gate`: the embedded model's gate, on fills that it was not fitted on.

`fixtures/gate.jsonl` has their features and outcomes, as `engine/nano/fit_gate.py` leaves them: package, whether the
fill was exact, features.
"""

import json
from pathlib import Path

from midfill.engine.gate import Features, Gate, read_gate
from midfill.engine.installed import embedded_model
from midfill.engine.reliability import calibration_error, reliability

HELD_OUT = Path(__file__).parents[2] / "fixtures" / "gate.jsonl"
MOST_ERROR = 0.05
EAGERNESS = ("low", "balanced", "high")


def held_out() -> tuple[Gate, list[tuple[float, bool]]]:
    """The shipped gate, and its confidence in each fill, the least sure first, with what came of it."""
    shipped = read_gate(embedded_model())
    assert shipped is not None
    rows = map(json.loads, HELD_OUT.read_text(encoding="utf-8").splitlines())
    return shipped, sorted((shipped.confidence(Features(*values)), bool(exact)) for _, exact, values in rows)


def test_the_shipped_gate_is_calibrated_on_packages_it_was_not_fitted_on():
    _, found = held_out()
    assert len(found) >= 400
    confidences, exact = zip(*found, strict=True)
    error = calibration_error(reliability(confidences, exact))
    assert error <= MOST_ERROR


def test_the_shipped_gate_shows_what_each_level_is_for():
    shipped, found = held_out()
    all_exact = sum(exact for _, exact in found)
    shown = {each: [exact for confidence, exact in found if shipped.shows(confidence, each)] for each in EAGERNESS}
    precision = {each: sum(shown[each]) / len(shown[each]) for each in EAGERNESS}
    assert precision["low"] > precision["balanced"] > precision["high"] > all_exact / len(found)
    assert sum(shown["high"]) > 0.8 * all_exact
    assert len(shown["high"]) < 0.85 * len(found)
    assert len(shown["balanced"]) < 0.5 * len(found)
