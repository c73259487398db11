"""What the engine has answered so far: counts and latencies for its status."""

import math
from collections import deque
from collections.abc import Iterable

from midfill.engine.wire import Infill

WINDOW = 256
"""Latencies remembered."""


class Tally:
    """Counts since the engine began. A request that was let go or failed counts as that only."""

    def __init__(self) -> None:
        self.answered = self.dropped = self.failed = 0
        self.prompt_tokens = self._cached_tokens = 0
        self._latencies_ms: deque[float] = deque(maxlen=WINDOW)

    def count(self, infill: Infill, latency_s: float | None) -> None:
        """An answer, and how long its request had waited for it; None if nobody waited."""
        self.answered += 1
        self.prompt_tokens += infill.prompt_tokens
        self._cached_tokens += infill.cached_tokens
        if latency_s is not None:
            self._latencies_ms.append(latency_s * 1e3)

    @property
    def cached_share(self) -> float | None:
        """Of all prompt tokens, those found in a cache."""
        return self._cached_tokens / self.prompt_tokens if self.prompt_tokens else None

    def latency_ms(self, share: float) -> float | None:
        """The latency within which `share` of the last answers came."""
        return quantile(self._latencies_ms, share)


def quantile(values: Iterable[float], share: float) -> float | None:
    """The least of `values` that at least `share` of them do not exceed; None if there are none. Pure."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
