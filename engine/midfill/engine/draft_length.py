"""How many tokens to draft before a pass of the target: as many as pay, by what was accepted and what it took.

No clock and no chance in here: the same rounds give the same lengths.
"""

from collections import deque
from typing import NamedTuple

MEMORY = 0.97
"""What a round's acceptance still counts for one round later: after 23 rounds, half."""
HOPED_ACCEPTANCE = 0.7
"""What the first draft's acceptance is taken for before there is any; it counts as one round."""
NUM_TIMES = 9
"""A duration is the lower quartile of so many: what else the machine does only makes them longer."""
NUM_MEASURED = 3
"""Durations before a length has a duration of its own: the first pass of each shape may be slow on a card."""
FIRST_LENGTH = 2
"""The length that is tried first; longer ones come when twice as long as all before would pay."""
SHORTEST_S = 1e-9
"""What a clock that stands still is taken for."""
PROBING = 1 / 32
"""Share of the time that goes to rounds of another length than the one that pays most."""


class Round(NamedTuple):
    """What one round of drafting and verifying came to."""

    num_drafts: int
    num_accepted: int
    draft_s: float
    """Seconds for all drafts."""
    pass_s: float
    """Seconds for the target's pass over them and the token before."""


class DraftLength:
    """Learns from all decodes of one model with one drafter, and says how long the next drafts should be.

    Where no length pays it is 0, and plain decoding is slowed by less than `PROBING`, after the first few rounds.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._acceptance = [_Share() for _ in range(most)]
        self._step = _Duration()
        self._passes = [_Duration() for _ in range(most + 1)]
        self._measured: list[tuple[int, float]] = []
        """Lengths, and the seconds of their passes."""
        self._seen = [-1] * (most + 1)
        """By length, the latest round that had it."""
        self._num_rounds = 0
        self._to_probe_s = 0.0
        self._best = 0

    def choose(self) -> int:
        """The number of tokens to draft now. Pure."""
        if self._to_probe_s <= 0 or not self._knows_plain:
            return self._best
        likeliest = max(range(1, self._longest + 1), key=self.tokens_a_second, default=0)
        near = {0, likeliest - 1, likeliest, min(likeliest + 1, self.most)} - {-1, self._best}
        return min(sorted(near), key=lambda length: self._seen[length], default=self._best)

    def learn(self, round: Round) -> None:
        """Takes in a round, of whatever length up to `most` it was."""
        seconds = round.draft_s + round.pass_s
        # A drafter may have less to say than it was asked for: that is no probe.
        is_probe = self._to_probe_s > 0 and round.num_drafts != self._best
        self._to_probe_s += -seconds if is_probe else PROBING * seconds
        self._seen[round.num_drafts] = self._num_rounds
        self._num_rounds += 1
        self._learn_times(round)
        for place, share in enumerate(self._acceptance):
            looked_at = place < min(round.num_accepted + 1, round.num_drafts)
            share.add(place < round.num_accepted if looked_at else None)
        self._best = self._paying()

    def _learn_times(self, round: Round) -> None:
        self._passes[round.num_drafts].add(round.pass_s)
        self._measured = [(each, times.seconds) for each, times in enumerate(self._passes) if times.is_measured]
        if round.num_drafts:
            self._step.add(round.draft_s / round.num_drafts)

    def tokens_a_second(self, length: int) -> float:
        """What drafts of `length` are expected to give, once rounds without drafts were measured."""
        seconds = length * self._step.seconds + self._pass_s(length)
        return self._expected_tokens(length) / max(seconds, SHORTEST_S)

    @property
    def _knows_plain(self) -> bool:
        return self._passes[0].is_measured

    @property
    def _longest(self) -> int:
        return min(self.most, max(FIRST_LENGTH, 2 * self._measured[-1][0]))

    def _paying(self) -> int:
        if not self._knows_plain:
            return 0
        return max(range(self._longest + 1), key=self.tokens_a_second)

    def _expected_tokens(self, length: int) -> float:
        tokens = all_accepted = 1.0
        acceptance = HOPED_ACCEPTANCE
        for share in self._acceptance[:length]:
            # Where little was seen of late, as at the place before.
            acceptance = share.value(acceptance)
            all_accepted *= acceptance
            tokens += all_accepted
        return tokens

    def _pass_s(self, length: int) -> float:
        """Seconds of a pass over `length` drafts: measured, or on the line through the lengths that are."""
        shorter = [point for point in self._measured if point[0] <= length]
        longer = self._measured[len(shorter) :]
        start, end = (shorter[-1], longer[0]) if longer else (shorter[0], shorter[-1])
        slope = (end[1] - start[1]) / max(1, end[0] - start[0])
        return shorter[-1][1] + max(slope, 0.0) * (length - shorter[-1][0])


class _Share:
    """How often something happened of late."""

    def __init__(self) -> None:
        self.hits = self.tries = 0.0

    def add(self, happened: bool | None) -> None:
        """A round in which it happened, or not, or was not looked at."""
        self.hits = MEMORY * self.hits + (happened is True)
        self.tries = MEMORY * self.tries + (happened is not None)

    def value(self, expected: float) -> float:
        """Between 0 and 1; what was `expected` counts as one round."""
        return (self.hits + expected) / (self.tries + 1)


class _Duration:
    """How long something takes."""

    def __init__(self) -> None:
        self.latest = deque[float](maxlen=NUM_TIMES)
        self.seconds = 0.0

    @property
    def is_measured(self) -> bool:
        return len(self.latest) >= NUM_MEASURED

    def add(self, seconds: float) -> None:
        self.latest.append(seconds)
        self.seconds = sorted(self.latest)[len(self.latest) // 4]
