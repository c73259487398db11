"""`midfill.engine.tally`: the figures of the engine's status."""

from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.tally import WINDOW, Tally, quantile
from midfill.engine.wire import Infill


def infill(prompt_tokens: int = 10, cached_tokens: int = 0) -> Infill:
    return Infill(
        text="x",
        shown=True,
        confidence=1.0,
        steps=1,
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        prefill_ms=0.0,
        decode_ms=0.0,
    )


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_the_least_value_that_so_many_do_not_exceed(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)


def test_before_the_first_answer_there_are_no_figures() -> None:
    tally = Tally()
    assert (tally.latency_ms(0.5), tally.cached_share) == (None, None)


def test_the_cached_share_is_that_of_all_tokens() -> None:
    tally = Tally()
    tally.count(infill(100, 0), 0.1)
    tally.count(infill(300, 300), 0.1)
    assert tally.cached_share == 0.75


def test_latencies_are_those_of_the_last_answers_that_somebody_waited_for() -> None:
    tally = Tally()
    for _ in range(WINDOW):
        tally.count(infill(), 9.0)
    for _ in range(WINDOW):
        tally.count(infill(), 0.02)
    tally.count(infill(), None)
    assert tally.latency_ms(0.9) == 20.0
    assert tally.answered == 2 * WINDOW + 1
