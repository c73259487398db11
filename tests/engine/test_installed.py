from pathlib import Path

import pytest

from midfill.engine.installed import embedded_drafter, embedded_model, half_pulled_models, models_dir, pulled_models


@pytest.fixture(autouse=True)
def data_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def test_no_directory_is_no_models() -> None:
    assert not models_dir().exists()
    assert pulled_models() == half_pulled_models() == []


def test_a_half_pulled_checkpoint_is_listed_apart() -> None:
    for name in ("acme--whole", "acme--half"):
        (models_dir() / name).mkdir(parents=True)
    (models_dir() / "acme--whole" / "config.json").touch()
    assert pulled_models() == [models_dir() / "acme--whole"]
    assert half_pulled_models() == [models_dir() / "acme--half"]


def test_a_file_among_the_models_is_none() -> None:
    models_dir().mkdir(parents=True)
    (models_dir() / "notes.txt").touch()
    assert pulled_models() == half_pulled_models() == []


def test_the_embedded_drafter_is_within_the_embedded_model_or_missing() -> None:
    drafter = embedded_drafter()
    assert drafter is None or (drafter.parent == embedded_model() and (drafter / "config.json").exists())
