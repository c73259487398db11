"""Whether confidences mean what they say: bins of fills, and the calibration error."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BINS = 10
LEAST = 20
"""Fills of a bin: the share that fewer have is mostly chance, and would count as an error."""


class Bin(NamedTuple):
    """Fills of about the same confidence."""

    confidence: float
    """Their mean."""
    exact: float
    """The share of them that are."""
    records: int


def reliability(confidences: Sequence[float], exact: Sequence[bool]) -> list[Bin]:
    """Ten bins of as many fills each, the least sure first; fewer bins where they would be too small. Pure."""
    order = np.argsort(np.asarray(confidences), kind="stable")
    parts = np.array_split(order, max(1, min(BINS, len(order) // LEAST)))
    sure, right = np.asarray(confidences, dtype=float), np.asarray(exact, dtype=float)
    return [Bin(round(float(sure[part].mean()), 6), round(float(right[part].mean()), 6), len(part)) for part in parts]


def calibration_error(bins: Sequence[Bin]) -> float:
    """How far confidence and share are apart, the mean over all fills: the expected calibration error. Pure."""
    total = sum(each.records for each in bins)
    return round(sum(abs(each.confidence - each.exact) * each.records for each in bins) / total, 6)
