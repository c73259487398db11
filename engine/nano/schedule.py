"""How far a training run is, and how fast it learns then: time, not steps, drives both."""

import time
from typing import NamedTuple


class Schedule(NamedTuple):
    """A run in one or more pieces, which ends in time on whatever machine it is."""

    seconds: float
    """Of the whole run."""
    spent_s: float
    """By the pieces before this one."""
    started: float
    """`time.monotonic` at which this one began: the same clock in all processes of a machine."""

    def start(self) -> float:
        """`share` at which this piece began."""
        return self.spent_s / self.seconds

    def elapsed_s(self) -> float:
        return self.spent_s + time.monotonic() - self.started

    def share(self) -> float:
        """Of the run that is over; 1 at its end."""
        return self.elapsed_s() / self.seconds


def rate_scale(share: float) -> float:
    """Learning-rate factor after `share` of the run: a short warm-up, flat to a half, then linear down to 2 %."""
    return min(1.0, share / 0.01 + 0.02) * (1.0 if share < 0.5 else max(0.02, 2 * (1 - share)))
