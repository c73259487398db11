from pathlib import Path

import pytest

from midfill.engine.installed import models_dir, pulled_models


@pytest.fixture(autouse=True)
def data_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def test_no_directory_is_no_models() -> None:
    assert not models_dir().exists()
    assert pulled_models() == []


def test_a_half_pulled_checkpoint_is_not_listed() -> None:
    for name in ("acme--whole", "acme--half"):
        (models_dir() / name).mkdir(parents=True)
    (models_dir() / "acme--whole" / "config.json").touch()
    assert pulled_models() == [models_dir() / "acme--whole"]
