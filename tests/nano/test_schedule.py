"""`engine/nano/schedule.py`: a run goes on over its pieces, and its rate with it."""

import time

import pytest
from schedule import Schedule, rate_scale


def test_the_learning_rate_warms_up_stays_and_falls():
    shares = [0.0, 0.005, 0.01, 0.5, 0.75, 1.0]
    assert [round(rate_scale(share), 3) for share in shares] == [0.02, 0.52, 1.0, 1.0, 0.5, 0.02]


def test_a_piece_goes_on_where_the_one_before_ended():
    schedule = Schedule(seconds=100, spent_s=40, started=time.monotonic() - 20)
    assert schedule.start() == 0.4
    assert schedule.share() == pytest.approx(0.6, abs=0.05)
