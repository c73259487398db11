"""One rule: kernels on a card, definitions elsewhere, and a variable that forces either."""

import pytest
import torch

from midfill.kernels.selection import VARIABLE, uses_kernels


@pytest.fixture(autouse=True)
def _unforced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_cpu_runs_the_definitions() -> None:
    assert not uses_kernels(torch.device("cpu"))


@pytest.mark.parametrize(("value", "wanted"), [("reference", False), ("triton", True)])
def test_the_variable_forces_either(monkeypatch: pytest.MonkeyPatch, value: str, wanted: bool) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert uses_kernels(torch.device("cpu")) is wanted


def test_another_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(ValueError, match=r"^fast$"):
        uses_kernels(torch.device("cpu"))


@pytest.mark.gpu
def test_a_card_runs_the_kernels() -> None:
    assert uses_kernels(torch.device("cuda"))
