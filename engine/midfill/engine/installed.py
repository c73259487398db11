"""The checkpoints on this machine: the embedded one and those that `midfill pull` brought."""

from pathlib import Path

from platformdirs import user_data_path


def embedded_model() -> Path:
    """The directory of the small model that ships in the package."""
    return Path(__file__).parent / "models" / "nano"


def models_dir() -> Path:
    """Where pulled checkpoints live, each in its own directory. It may not exist yet."""
    return user_data_path("midfill", appauthor=False) / "models"


def pulled_models() -> list[Path]:
    """The directories of the checkpoints that were pulled to the end."""
    return sorted(config.parent for config in models_dir().glob("*/config.json"))
