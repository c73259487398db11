"""How many weights the safetensors files of a model directory hold, from their headers. Needs no torch."""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import BinaryIO

import msgspec

from midfill.engine.errors import CheckpointError
from midfill.engine.json_files import read_json

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LONGEST_HEADER = 100_000_000
FLOATS = ("F32", "BF16", "F16")
INTEGERS = ("I64", "I32")


class _Tensor(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def count_weights(directory: Path, prefixes: Sequence[str]) -> int:
    """The numbers in the tensors whose name has the first of `prefixes` that any has; integers are not weights.

    Raises `CheckpointError` where a file is missing, cut off or quantised.
    """
    counts = [
        (name, _count(directory / file, name, tensor))
        for file in _files(directory)
        for name, tensor in _read_header(directory / file).items()
    ]
    prefix = next((prefix for prefix in prefixes if any(name.startswith(prefix) for name, _ in counts)), "")
    return sum(count for name, count in counts if name.startswith(prefix))


def _files(directory: Path) -> list[str]:
    """The one file, or those that the index of a sharded checkpoint names; the same as are loaded."""
    if (directory / SINGLE).exists() or not (directory / INDEX).exists():
        return [SINGLE]
    return sorted(set(read_json(directory / INDEX, _Index).weight_map.values()))


def _read_header(path: Path) -> dict[str, _Tensor]:
    try:
        with path.open("rb") as file:
            return _parse_header(file, path)
    except FileNotFoundError:
        raise CheckpointError(path, "the weights", "no such file") from None
    except OSError as error:
        raise CheckpointError(path, "a readable safetensors file", error.strerror) from None


def _parse_header(file: BinaryIO, path: Path) -> dict[str, _Tensor]:
    """The tensors that an open safetensors file of that path begins by listing."""
    length, num_bytes = int.from_bytes(file.read(8), "little"), path.stat().st_size
    try:
        entries = msgspec.json.decode(file.read(min(length, LONGEST_HEADER)), type=dict[str, msgspec.Raw])
        entries.pop("__metadata__", None)
        tensors = {name: msgspec.json.decode(entry, type=_Tensor) for name, entry in entries.items()}
    except (ValueError, RecursionError):  # msgspec's are ValueErrors
        raise CheckpointError(path, "a safetensors file", f"another one ({num_bytes} bytes)") from None
    end = 8 + length + max((tensor.data_offsets[1] for tensor in tensors.values()), default=0)
    if num_bytes < end:
        raise CheckpointError(path, f"{end} bytes, as its header says", num_bytes)
    return tensors


def _count(path: Path, name: str, tensor: _Tensor) -> int:
    if tensor.dtype not in FLOATS + INTEGERS:
        raise CheckpointError(path, "unquantised weights", f"tensor {name} in {tensor.dtype}")
    return prod(tensor.shape) if tensor.dtype in FLOATS else 0
