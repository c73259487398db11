"""`midfill.engine.weight_files`: one file or shards, mapped or converted, and files that are broken."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from midfill.engine.errors import CheckpointError
from midfill.engine.stored_weights import INDEX, SINGLE
from midfill.engine.weight_files import StoredTensor, list_tensors, read_tensors

CPU = torch.device("cpu")
A, B = torch.arange(6.0).reshape(2, 3), torch.ones(4, dtype=torch.bfloat16)


def write_index(directory: Path, weight_map: object) -> None:
    (directory / INDEX).write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")


def read_all(directory: Path, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    tensors = list_tensors(directory).values()
    return {tensor.name: read for tensor, read in read_tensors(tensors, CPU, dtype)}


def error_of(directory: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        list_tensors(directory)
    return str(caught.value)


def test_one_file_is_listed_by_its_header(tmp_path: Path) -> None:
    save_file({"a": A, "b": B}, tmp_path / SINGLE)
    file = tmp_path / SINGLE
    listed = list_tensors(tmp_path)
    assert listed == {"a": StoredTensor("a", file, (2, 3), "F32"), "b": StoredTensor("b", file, (4,), "BF16")}
    assert [tensor.num_bytes for tensor in listed.values()] == [24, 8]


def test_shards_are_listed_by_their_index(tmp_path: Path) -> None:
    save_file({"a": A}, tmp_path / "1.safetensors")
    save_file({"b": B, "unlisted": A}, tmp_path / "2.safetensors")
    write_index(tmp_path, {"a": "1.safetensors", "b": "2.safetensors"})
    listed = list_tensors(tmp_path)
    assert {name: tensor.file.name for name, tensor in listed.items()} == {"a": "1.safetensors", "b": "2.safetensors"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_each_tensor_comes_in_the_wanted_dtype(dtype: torch.dtype, tmp_path: Path) -> None:
    save_file({"a": A, "b": B}, tmp_path / SINGLE)
    read = read_all(tmp_path, dtype)
    assert {name: tensor.dtype for name, tensor in read.items()} == {"a": dtype, "b": dtype}
    assert torch.equal(read["a"], A.to(dtype))
    assert torch.equal(read["b"], B.to(dtype))


def test_tensors_of_the_wanted_dtype_outlive_a_renamed_over_file(tmp_path: Path) -> None:
    save_file({"a": A}, tmp_path / SINGLE)
    read = read_all(tmp_path, torch.float32)
    save_file({"a": A + 1}, tmp_path / "new.safetensors")
    (tmp_path / "new.safetensors").rename(tmp_path / SINGLE)
    assert torch.equal(read["a"], A)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    assert error_of(tmp_path) == f"{tmp_path / SINGLE}: wanted the weights, got no such file"


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    save_file({"a": A}, tmp_path / "1.safetensors")
    write_index(tmp_path, {"a": "1.safetensors", "b": "2.safetensors"})
    assert error_of(tmp_path) == f"{tmp_path / '2.safetensors'}: wanted the weights, got no such file"


def test_a_shard_without_an_indexed_tensor_is_named(tmp_path: Path) -> None:
    save_file({"a": A}, tmp_path / "1.safetensors")
    write_index(tmp_path, {"a": "1.safetensors", "b": "1.safetensors"})
    wanted = f"tensor b, as {INDEX} says"
    assert error_of(tmp_path) == f"{tmp_path / '1.safetensors'}: wanted {wanted}, got no such tensor"


@pytest.mark.parametrize("kept", [-1, 20, 0])
def test_a_truncated_file_is_named_with_its_size(kept: int, tmp_path: Path) -> None:
    file = tmp_path / SINGLE
    save_file({"a": A}, file)
    file.write_bytes(file.read_bytes()[:kept])
    message = error_of(tmp_path)
    assert message.startswith(f"{file}: wanted a whole safetensors file, got ")
    assert message.endswith(f"({file.stat().st_size} bytes)")


def test_a_pointer_left_by_git_lfs_is_no_safetensors_file(tmp_path: Path) -> None:
    (tmp_path / SINGLE).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    assert "wanted a whole safetensors file" in error_of(tmp_path)


@pytest.mark.parametrize("weight_map", [None, ["1.safetensors"], {"a": 1}])
def test_an_index_of_another_form_is_named(weight_map: object, tmp_path: Path) -> None:
    write_index(tmp_path, weight_map)
    assert error_of(tmp_path).startswith(f"{tmp_path / INDEX}: wanted a valid {INDEX}, got Expected `")
