"""Whether a fill is shown: how likely it is to be just what the person would write, and how likely that has to be.

Silence is an answer: most fills of a small model are wrong, and each that is shown costs a look.
"""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from midfill.engine.json_files import read_json
from midfill.engine.wire import Eagerness

GATE = "gate.json"
"""Beside the weights. `engine/nano/fit_gate.py` writes the embedded model's."""
MOST_NATS = 12.0
"""Differences of log-probabilities count up to here: what is beyond is as sure."""
MOST_TOTAL = 40.0
"""Nats of a fill that count: one as unlikely is wrong."""
MOST_DEVIATIONS = 4.0
"""So far from its mean a feature counts: no single one overrules the others."""


class Features(NamedTuple):
    """What is known of a fill, as the causal mode sees it, whatever found it. Log-probabilities in nats."""

    mean: float
    """Log-probability of the fill's tokens and the one behind it, which says that the fill ends there."""
    total: float
    """The sum of the same: whether all of it is right hangs on each."""
    least: float
    """Of the least likely of them."""
    first: float
    """Of the fill's first token."""
    end: float
    """Of the token behind it."""
    spread: float
    """Standard deviation of all of them: sure of most and unsure of some is another thing than unsure of each."""
    margin: float
    """By how much fill and suffix head are likelier than with the next best fill of another text."""
    gain: float
    """By how much the suffix head is likelier behind the fill than behind nothing."""
    tokens: float
    """Logarithm of the number of the fill's tokens, and one."""
    characters: float
    """Logarithm of the number of its characters, white space around them apart, and one."""
    passes: float
    """That looked for it."""
    errors: float
    """Of syntax that it adds, up to 3."""
    repeats: float
    """Lines of it that say again what the line before them says, up to 3."""
    new_line: float
    """1 where nothing but white space stands before the cursor in its line, else 0."""


def features_of(
    text: str,
    fill: Sequence[float],
    head: Sequence[float],
    bare_head: Sequence[float],
    runner_up: float | None,
    *,
    passes: int,
    errors: int,
    repeats: int,
    line: str,
) -> Features:
    """The features of the fill `text`. Pure.

    `fill` are the log-probabilities of its tokens, `head` those of the suffix head behind it, of one token at least,
    and `bare_head` those of the same behind nothing. `runner_up` is the score of the best fill of another text, None
    without one; `errors` are those of syntax that the fill adds, `repeats` its lines that equal the line before them,
    and `line` is what stands before it in its line.
    """
    own = [*fill, head[0]]
    margin = MOST_NATS if runner_up is None else sum(fill) + sum(head) - runner_up
    return Features(
        mean=statistics.fmean(own),
        total=max(-MOST_TOTAL, sum(own)),
        least=min(own),
        first=own[0],
        end=head[0],
        spread=statistics.pstdev(own),
        margin=_bounded(margin, MOST_NATS),
        gain=_bounded(sum(head) - sum(bare_head), MOST_NATS),
        tokens=math.log1p(len(fill)),
        characters=math.log1p(len(text.strip())),
        passes=passes,
        errors=min(errors, 3),
        repeats=min(repeats, 3),
        new_line=float(not line.strip()),
    )


class Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one feature says."""

    mean: float
    scale: Annotated[float, msgspec.Meta(gt=0)]
    """Standard deviation where the gate was fitted."""
    weight: float
    """Nats of the odds, for one deviation more than the mean."""


Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The confidence from which a fill is shown, for each eagerness."""

    low: Probability
    balanced: Probability
    high: Probability

    def __post_init__(self) -> None:
        if not self.low >= self.balanced >= self.high:
            raise ValueError(f"thresholds must fall with eagerness: {self.low}, {self.balanced}, {self.high}")


class Gate(msgspec.Struct, frozen=True):
    """Logistic regression on the features of a fill; what a checkpoint's `gate.json` holds. Other fields are notes.

    Its confidence is the probability that the fill is exactly the missing text, white space at the end apart, on gaps
    like those it was fitted on.
    """

    bias: float
    terms: dict[str, Term]
    """By the names of features; those that are not named do not count."""
    thresholds: Thresholds

    def __post_init__(self) -> None:
        if unknown := sorted(self.terms.keys() - set(Features._fields)):
            raise ValueError(f"no such features: {', '.join(unknown)}")

    def confidence(self, features: Features) -> float:
        """The probability that the fill is right."""
        odds = self.bias
        for name, term in self.terms.items():
            deviations = (getattr(features, name) - term.mean) / term.scale
            odds += term.weight * _bounded(deviations, MOST_DEVIATIONS)
        return 1 / (1 + math.exp(-_bounded(odds, 100)))

    def shows(self, confidence: float, eagerness: Eagerness) -> bool:
        """Whether a fill of that confidence is shown unasked."""
        return confidence >= getattr(self.thresholds, eagerness)


class MeanGate(NamedTuple):
    """For a checkpoint that no gate was fitted for: the geometric mean of the probabilities of a fill's tokens.

    That is no chance of being right, and what fits the other two levels was not measured.
    """

    balanced: float

    def confidence(self, features: Features) -> float:
        return math.exp(features.mean)

    def shows(self, confidence: float, eagerness: Eagerness) -> bool:
        return confidence >= self.threshold(eagerness)

    def threshold(self, eagerness: Eagerness) -> float:
        """The confidence from which a fill is shown."""
        return self.balanced ** {"low": 0.5, "balanced": 1.0, "high": 2.0}[eagerness]


def read_gate(directory: Path) -> Gate | None:
    """The gate of the checkpoint in `directory`, None without one. Raises `CheckpointError` for one that is wrong."""
    path = directory / GATE
    return read_json(path, Gate) if path.exists() else None


def _bounded(value: float, most: float) -> float:
    return max(-most, min(most, value))
