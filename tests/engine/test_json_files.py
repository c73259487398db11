"""`midfill.engine.json_files`: what is wrong with a file is said with its name."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from midfill.engine.errors import CheckpointError
from midfill.engine.json_files import read_json


class Form(msgspec.Struct):
    count: int


def test_a_file_is_decoded_into_its_form(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(b'{"count": 3, "other": null}')
    assert read_json(path, Form) == Form(3)
    assert read_json(path, dict[str, Any]) == {"count": 3, "other": None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "wanted a some.json, got no such file"),
        (b"", "wanted a valid some.json, got Input data was truncated"),
        (b"[]", "wanted a valid some.json, got Expected `object`, got `array`"),
        (b'{"count": "3"}', "wanted a valid some.json, got Expected `int`, got `str` - at `$.count`"),
        (b'{"name": "\xff"}', "wanted a valid some.json, got "),
    ],
)
def test_another_content_is_an_error_with_the_files_name(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_json(path, Form)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_directory_in_its_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="wanted a valid"):
        read_json(tmp_path, Form)
