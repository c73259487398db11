"""Waiting for what has no event."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE_S = 60.0
"""For whatever must come: long, as the machine may be busy with other work."""


def until(condition: Callable[[], T], what: str) -> T:
    """What the condition gives, once that is true."""
    end = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {DEADLINE_S:.0f} s for {what}")
        time.sleep(0.02)
    return value
