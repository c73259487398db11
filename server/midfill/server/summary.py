"""What the statistics say: counts, rates and latencies."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import ceil

import msgspec

from midfill.server.statistics import Event

LATENCY_EDGES_MS = (0, 25, 50, 100, 200, 400, 800, 1600, None)


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """The suggestions of one language, or of all."""

    language: str | None
    """None for all."""
    shown: int
    known: int
    """Of those shown, how many needed no engine: they went on from an earlier one."""
    accepted: int
    partly: int
    rejected: int
    rate: float | None
    """Of those shown, the share that was accepted in full."""
    p50_ms: float | None
    """Latency of those that the engine was asked for."""
    p90_ms: float | None


class Bucket(msgspec.Struct, frozen=True):
    """How many took at least `from_ms` and less than `to_ms`; None is without end."""

    from_ms: int
    to_ms: int | None
    count: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    since: float | None
    """Seconds since 1970; None if there is nothing."""
    languages: tuple[Tally, ...]
    """Most shown first."""
    total: Tally
    latencies: tuple[Bucket, ...]
    """Of those that the engine was asked for."""


def summarise(events: Iterable[Event]) -> Summary:
    """Counts, rates and latencies. Pure."""
    events = list(events)
    by_language: dict[str, list[Event]] = {}
    for event in events:
        by_language.setdefault(event.language, []).append(event)
    tallies = (_tally(language, those) for language, those in by_language.items())
    return Summary(
        since=min((event.at for event in events), default=None),
        languages=tuple(sorted(tallies, key=lambda tally: (-tally.shown, tally.language or ""))),
        total=_tally(None, events),
        latencies=_histogram(_latencies(events)),
    )


def _tally(language: str | None, events: Sequence[Event]) -> Tally:
    counts = Counter(event.kind for event in events)
    latencies = _latencies(events)
    return Tally(
        language=language,
        shown=counts["shown"],
        known=sum(event.kind == "shown" and event.source == "memory" for event in events),
        accepted=counts["accepted"],
        partly=counts["partly"],
        rejected=counts["rejected"],
        rate=counts["accepted"] / counts["shown"] if counts["shown"] else None,
        p50_ms=_percentile(latencies, 0.5),
        p90_ms=_percentile(latencies, 0.9),
    )


def _latencies(events: Iterable[Event]) -> list[float]:
    shown = (event for event in events if event.kind == "shown" and event.source != "memory")
    return sorted(event.latency_ms for event in shown if event.latency_ms is not None)


def _percentile(ascending: Sequence[float], share: float) -> float | None:
    """The smallest that this share of them does not exceed."""
    return ascending[ceil(share * len(ascending)) - 1] if ascending else None


def _histogram(latencies: Sequence[float]) -> tuple[Bucket, ...]:
    return tuple(
        Bucket(low, high, sum(low <= ms and (high is None or ms < high) for ms in latencies))
        for low, high in pairwise(LATENCY_EDGES_MS)
        if low is not None
    )
