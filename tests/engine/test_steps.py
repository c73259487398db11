"""`midfill.engine.steps`: a budget in milliseconds becomes a number of steps, and the same one each time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.small_model import small_model

from midfill.engine.canvas import DenoiseSettings
from midfill.engine.sampling import temperature
from midfill.engine.steps import LEAST_STEPS, StepTimes, budgeted, step_times, steps_within

TIMES = StepTimes([64, 128, 512], [10.0, 12.0, 36.0])


@pytest.mark.parametrize(
    ("target_ms", "step_ms", "most", "steps"),
    [(300, 12.0, 48, 25), (300, 12.5, 48, 24), (300, 1.0, 48, 48), (300, 200.0, 48, 4), (300, 200.0, 2, 2)],
)
def test_as_many_steps_as_end_in_time_but_never_too_few(
    target_ms: float, step_ms: float, most: int, steps: int
) -> None:
    assert steps_within(target_ms, step_ms, most) == steps


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6), st.integers(1, 64))
def test_the_steps_stay_within_the_time_or_are_the_least(target_ms: float, step_ms: float, most: int) -> None:
    steps = steps_within(target_ms, step_ms, most)
    assert 1 <= steps <= most
    assert steps * step_ms <= target_ms * (1 + 1e-9) or steps == min(LEAST_STEPS, most)
    assert steps == most or (steps + 1) * step_ms > target_ms * (1 - 1e-9)


@pytest.mark.parametrize(("positions", "ms"), [(1, 10.0), (64, 10.0), (96, 11.0), (320, 24.0), (512, 36.0), (1024, 72)])
def test_times_between_those_measured_are_on_a_line(positions: int, ms: float) -> None:
    assert TIMES.of(positions) == pytest.approx(ms)


def test_the_budget_replaces_the_number_of_steps_alone() -> None:
    settings = DenoiseSettings(max_steps=48, entropy_bound=0.3, settle_entropy=0.2)
    assert budgeted(settings, 360.0, TIMES, 512) == DenoiseSettings(10, entropy_bound=0.3, settle_entropy=0.2)


@pytest.mark.parametrize(("target_ms", "times"), [(None, TIMES), (1.0, None)])
def test_without_a_target_or_a_measurement_nothing_changes(target_ms: float | None, times: StepTimes | None) -> None:
    settings = DenoiseSettings()
    assert budgeted(settings, target_ms, times, 64) is settings


def test_the_temperature_falls_over_the_budgeted_steps() -> None:
    settings = budgeted(DenoiseSettings(), 100.0, TIMES, 64)
    last = temperature(settings.max_steps - 1, settings.max_steps, settings.t_min, settings.t_max)
    assert last == pytest.approx(settings.t_min + (settings.t_max - settings.t_min) / 10)


def test_each_size_is_measured_and_more_positions_never_take_less() -> None:
    found = step_times(small_model(), 2, [16, 4, 16])
    assert found.positions == [8, 32]
    assert 0 < found.ms[0] <= found.ms[1]
