import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midfill.engine.errors import CheckpointError
from midfill.engine.stored_weights import count_weights

ANY = ("",)


def write(path: Path, *tensors: tuple[str, str, list[int], int]) -> None:
    """A safetensors file of (name, dtype, shape, bytes) tensors of zeros."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, dtype, shape, num_bytes in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + num_bytes]}
        end += num_bytes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))


def test_weights_of_all_float_types_count_and_integers_do_not(tmp_path: Path) -> None:
    write(
        tmp_path / "model.safetensors",
        ("a", "F32", [2, 3], 24),
        ("b", "BF16", [5], 10),
        ("scalar", "F16", [], 2),
        ("order", "I64", [4], 32),
    )
    assert count_weights(tmp_path, ANY) == 6 + 5 + 1


def test_only_tensors_of_the_first_prefix_that_there_is_count(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", ("model.text.a", "F32", [2], 8), ("model.vision.a", "F32", [3], 12))
    assert count_weights(tmp_path, ("model.text.", "model.")) == 2
    assert count_weights(tmp_path, ("model.other.", "model.")) == 5


def test_shards_count_together_and_strays_do_not(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write(tmp_path / f"{number}.safetensors", (f"{number}", "F32", [number], 4 * number))
    shards = {"1": "1.safetensors", "2": "2.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert count_weights(tmp_path, ANY) == 3


def test_it_counts_what_torch_would_load(tiny_gemma4: Callable[[str], Path]) -> None:
    from midfill.engine.weight_files import list_tensors

    path = tiny_gemma4("26B-A4B")
    tensors = list_tensors(path).values()
    assert count_weights(path, ANY) == sum(tensor.num_bytes // 4 for tensor in tensors if tensor.dtype == "F32")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: wanted the weights, got no such file"):
        count_weights(tmp_path, ANY)


def test_no_weights_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.safetensors: wanted the weights, got no such file"):
        count_weights(tmp_path, ANY)


def test_a_file_that_was_cut_off_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write(path, ("a", "F32", [100], 400))
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=f"wanted {size} bytes, as its header says, got {size - 1}"):
        count_weights(tmp_path, ANY)


@pytest.mark.parametrize(
    "content",
    [b"", b"short", b"\xff" * 100, b"<html>log in first</html>", struct.pack("<Q", 20_000) + b"[" * 20_000],
    ids=["empty", "short", "endless", "a page", "deep"],
)
def test_what_is_no_safetensors_file_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: wanted a safetensors file"):
        count_weights(tmp_path, ANY)


def test_quantised_weights_are_told(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", ("experts.0.weight_packed", "U8", [8], 8))
    with pytest.raises(
        CheckpointError, match=r"wanted unquantised weights, got tensor experts\.0\.weight_packed in U8"
    ):
        count_weights(tmp_path, ANY)
