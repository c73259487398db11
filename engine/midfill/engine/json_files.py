"""The JSON files of a model directory, each decoded into the form it has to have."""

from pathlib import Path
from typing import TypeVar

import msgspec

from midfill.engine.errors import CheckpointError

T = TypeVar("T")


def read_json(path: Path, form: type[T]) -> T:
    """The content of `path` as a `form`, a Struct or plain type. Raises `CheckpointError` if it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=form)
    except FileNotFoundError:
        raise CheckpointError(path, f"a {path.name}", "no such file") from None
    except (OSError, ValueError) as error:  # msgspec's and bad UTF-8 are ValueErrors
        raise CheckpointError(path, f"a valid {path.name}", str(error)) from None
