"""Kernels run on a card, or in Triton's interpreter, which must be chosen before they are imported."""

import os

import pytest
import torch

HAS_CARD = torch.cuda.is_available()
if not HAS_CARD:
    os.environ["TRITON_INTERPRET"] = "1"

from tests.kernels.interpreter import dot_in_float32  # noqa: E402


@pytest.fixture(autouse=True)
def _right_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    if not HAS_CARD:
        dot_in_float32(monkeypatch)


@pytest.fixture
def device() -> torch.device:
    """Where kernels run in this test run."""
    return torch.device("cuda" if HAS_CARD else "cpu")
