"""Checkpoints that the engine's tests share."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the directory of the tiny checkpoint of a shape, built when first asked for. Copy it to change it."""
    from tests.engine.tiny import build_checkpoint  # here, as transformers takes seconds to import

    built: dict[str, Path] = {}

    def get(shape: str) -> Path:
        if shape not in built:
            built[shape] = build_checkpoint(shape, tmp_path_factory.mktemp(shape))
        return built[shape]

    return get
