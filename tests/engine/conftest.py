"""Checkpoints that the engine's tests share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from midfill.engine.installed import embedded_model

if TYPE_CHECKING:
    from tests.engine.gemma4_parity import Gemma4Pair
    from tests.engine.parity import Pair


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


@pytest.fixture(scope="session")
def pair(request: pytest.FixtureRequest, tiny_checkpoint: Callable[[str], Path]) -> "Pair":
    """The checkpoint that `parity.each_checkpoint` names, in transformers and in this engine."""
    from tests.engine.parity import NANO, load_pair

    if request.param != NANO:
        return load_pair(request.param, tiny_checkpoint(request.param))
    if not any(embedded_model().glob("*.safetensors")):
        pytest.skip("the embedded model has no weights here")
    return load_pair(NANO, embedded_model())


@pytest.fixture(scope="session")
def tiny_gemma4(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the directory of the tiny Gemma 4 of a variant, built when first asked for. Copy it to change it."""
    from tests.engine.tiny_gemma4 import build_gemma4

    built: dict[str, Path] = {}

    def get(variant: str) -> Path:
        if variant not in built:
            built[variant] = build_gemma4(variant, tmp_path_factory.mktemp(variant))
        return built[variant]

    return get


@pytest.fixture(scope="session")
def gemma4(request: pytest.FixtureRequest, tiny_gemma4: Callable[[str], Path]) -> "Gemma4Pair":
    """The checkpoint that `gemma4_parity.each_variant` names, in transformers and in this engine."""
    from tests.engine.gemma4_parity import load_gemma4_pair

    return load_gemma4_pair(request.param, tiny_gemma4(request.param))


@pytest.fixture(scope="session")
def tiny_drafter(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the directory of the tiny drafter of a Gemma 4 variant, built when first asked for."""
    from tests.engine.tiny_gemma4 import build_drafter

    built: dict[str, Path] = {}

    def get(variant: str) -> Path:
        if variant not in built:
            built[variant] = build_drafter(variant, tmp_path_factory.mktemp(f"{variant}-assistant"))
        return built[variant]

    return get
