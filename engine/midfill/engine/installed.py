"""The checkpoints on this machine: the embedded one and those that `midfill pull` brought."""

from pathlib import Path

from platformdirs import user_data_path


def embedded_model() -> Path:
    """The directory of the small model that ships in the package."""
    return Path(__file__).parent / "models" / "nano"


def embedded_drafter() -> Path | None:
    """The directory of the drafter that ships with that model; None where none does."""
    return drafter_of(embedded_model())


def drafter_of(model: Path) -> Path | None:
    """The directory of the drafter that belongs to the model in `model`: in it, or beside it by its name."""
    model = model.resolve()  # "." has no name
    for directory in (model / "drafter", model.with_name(f"{model.name}-assistant")):
        if (directory / "config.json").exists():
            return directory
    return None


def models_dir() -> Path:
    """Where pulled checkpoints live, each in its own directory. It may not exist yet."""
    return user_data_path("midfill", appauthor=False) / "models"


def pulled_models() -> list[Path]:
    """The directories of the checkpoints that were pulled to the end."""
    return sorted(config.parent for config in models_dir().glob("*/config.json"))


def half_pulled_models() -> list[Path]:
    """The directories of those whose pull was interrupted. Running it again goes on where it stopped."""
    return sorted(path for path in models_dir().glob("*/") if not (path / "config.json").exists())
