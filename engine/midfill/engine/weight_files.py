"""The safetensors files of a model directory: which tensor stands in which, and how it gets to a device.

Looking reads the headers only. On the CPU, a tensor that has the wanted dtype already stays a view of the
memory-mapped file: it costs no memory of its own, and processes share it. So a file must not be overwritten
while a model is in use; replacing it by a rename is safe.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from midfill.engine.errors import CheckpointError
from midfill.engine.json_files import read_json
from midfill.engine.stored_weights import INDEX, SINGLE

FLOATS = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
INTEGERS = {"I64": torch.int64, "I32": torch.int32}
DTYPES = FLOATS | INTEGERS


class StoredTensor(NamedTuple):
    """A tensor that has not been read yet; `dtype` is safetensors' name for it."""

    name: str
    file: Path
    shape: tuple[int, ...]
    dtype: str

    @property
    def num_bytes(self) -> int:
        return torch.Size(self.shape).numel() * DTYPES[self.dtype].itemsize


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def list_tensors(directory: Path) -> dict[str, StoredTensor]:
    """All tensors of a checkpoint by name: one file's, or those that the index of a sharded one names."""
    single, index = directory / SINGLE, directory / INDEX
    if single.exists() or not index.exists():
        return _read_header(single)
    stored_in = read_json(index, _Index).weight_map
    headers = {name: _read_header(directory / name) for name in sorted(set(stored_in.values()))}
    for name, file in stored_in.items():
        if name not in headers[file]:
            raise CheckpointError(directory / file, f"tensor {name}, as {INDEX} says", "no such tensor")
    return {name: headers[file][name] for name, file in stored_in.items()}


def _read_header(file: Path) -> dict[str, StoredTensor]:
    with _open(file) as opened:
        slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 (it is no dict)
        return {
            name: StoredTensor(name, file, tuple(found.get_shape()), found.get_dtype())
            for name, found in slices.items()
        }


def read_tensors(
    tensors: Iterable[StoredTensor], device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[StoredTensor, Tensor]]:
    """Each tensor on `device` in `dtype`, or as it is where it holds integers, one at a time, file by file."""
    for file, in_file in groupby(sorted(tensors, key=lambda tensor: tensor.file), lambda tensor: tensor.file):
        with _open(file) as mapped:
            for tensor in in_file:
                wanted = dtype if tensor.dtype in FLOATS else DTYPES[tensor.dtype]
                if device.type == "cpu" and DTYPES[tensor.dtype] == wanted:
                    yield tensor, mapped.get_tensor(tensor.name)
                else:
                    yield tensor, _read_converted(tensor, device, wanted)


def _read_converted(tensor: StoredTensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    # A mapping of its own: pages once touched count as this process's memory until their mapping is gone, which with
    # one for the whole file is three times the weights where float32 becomes bfloat16.
    with _open(tensor.file) as mapped:
        return mapped.get_tensor(tensor.name).to(device, dtype)


def _open(file: Path) -> safe_open:
    try:
        return safe_open(file, "pt")
    except FileNotFoundError:
        raise CheckpointError(file, "the weights", "no such file") from None
    except (OSError, SafetensorError) as error:
        got = f"{error} ({file.stat().st_size} bytes)"
        raise CheckpointError(file, "a whole safetensors file", got) from None
