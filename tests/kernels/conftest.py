"""Kernels run on a card where there is one, else in Triton's interpreter: `tests/conftest.py` chooses it."""

import pytest
import torch
from tests.kernels.interpreter import dot_in_float32

HAS_CARD = torch.cuda.is_available()


@pytest.fixture(autouse=True)
def _right_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    if not HAS_CARD:
        dot_in_float32(monkeypatch)


@pytest.fixture
def device() -> torch.device:
    """Where kernels run in this test run."""
    return torch.device("cuda" if HAS_CARD else "cpu")
