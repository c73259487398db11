"""`midfill.server.summary`: counts, rates and latencies of events made up here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.server.statistics import Event, Kind, Source
from midfill.server.summary import summarise


def shown(language: str, latency_ms: float | None, source: Source = "engine") -> Event:
    return Event(kind="shown", at=5, language=language, source=source, latency_ms=latency_ms)


def event(kind: Kind, language: str) -> Event:
    return Event(kind=kind, at=7, language=language)


def test_nothing_has_no_rate_and_no_latency() -> None:
    summary = summarise([])
    assert (summary.since, summary.languages, summary.total.rate, summary.total.p50_ms) == (None, (), None, None)
    assert sum(bucket.count for bucket in summary.latencies) == 0


def test_each_language_is_counted_the_most_shown_first() -> None:
    events = [shown("lua", 10), *[shown("python", 20)] * 4, event("accepted", "python"), event("partly", "lua")]
    summary = summarise(events)
    python, lua = summary.languages
    assert (python.language, python.shown, python.accepted, python.partly, python.rate) == ("python", 4, 1, 0, 0.25)
    assert (lua.language, lua.shown, lua.accepted, lua.partly, lua.rate) == ("lua", 1, 0, 1, 0.0)
    assert (summary.total.language, summary.total.shown, summary.total.rate, summary.since) == (None, 5, 0.2, 5)


def test_what_needed_no_engine_is_shown_but_has_no_part_in_latencies() -> None:
    summary = summarise([shown("lua", 100), *[shown("lua", 0.5, "memory")] * 9])
    assert (summary.total.shown, summary.total.known, summary.total.p50_ms) == (10, 9, 100)
    assert sum(bucket.count for bucket in summary.latencies) == 1


@pytest.mark.parametrize(("count", "p50", "p90"), [(1, 1, 1), (2, 1, 2), (10, 5, 9), (100, 50, 90)])
def test_percentiles_are_latencies_that_were_seen(count: int, p50: float, p90: float) -> None:
    total = summarise([shown("lua", ms + 1) for ms in reversed(range(count))]).total
    assert (total.p50_ms, total.p90_ms) == (p50, p90)


@pytest.mark.parametrize(("latency_ms", "index"), [(0, 0), (24.9, 0), (25, 1), (1599, 6), (1600, 7), (1e9, 7)])
def test_a_latency_on_an_edge_belongs_to_the_upper_bucket(latency_ms: float, index: int) -> None:
    buckets = summarise([shown("lua", latency_ms)]).latencies
    assert [bucket.count for bucket in buckets].index(1) == index


EVENTS = st.builds(
    Event,
    kind=st.sampled_from(["shown", "accepted", "partly", "rejected"]),
    at=st.floats(0, 1e10),
    language=st.sampled_from(["", "lua", "python"]),
    source=st.sampled_from(["engine", "memory", None]),
    latency_ms=st.none() | st.floats(0, 1e6),
)


@given(st.lists(EVENTS))
def test_the_languages_add_up_to_the_total(events: list[Event]) -> None:
    summary = summarise(events)
    for field in ("shown", "known", "accepted", "partly", "rejected"):
        assert sum(getattr(tally, field) for tally in summary.languages) == getattr(summary.total, field)
    assert sum(bucket.count for bucket in summary.latencies) <= summary.total.shown - summary.total.known
