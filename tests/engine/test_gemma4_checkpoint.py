"""`midfill.engine.gemma4_checkpoint`: every tensor of the text part in its place, and what does not belong to it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engine.tiny_gemma4 import VARIANTS

from midfill.engine.errors import CheckpointError
from midfill.engine.gemma4_checkpoint import load_gemma4

CPU = torch.device("cpu")
LAST_K = "model.layers.5.self_attn.k_proj.weight"


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_stored_text_tensor_has_its_place(variant: str, tiny_gemma4: Callable[[str], Path]):
    loaded = load_gemma4(tiny_gemma4(variant), CPU, torch.float32)
    stored = load_file(tiny_gemma4(variant) / "model.safetensors")
    prefix = "model." if variant in ("E2B", "text") else "model.language_model."
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, stored.pop(prefix + name.removeprefix("per_layer."))), name
    assert all(name.startswith(("model.vision_tower.", "model.embed_vision.")) for name in stored)
    assert loaded.generation.eos_token_ids == (1, 3)
    assert loaded.config is loaded.model.config


def test_a_loaded_model_is_in_evaluation_mode_without_gradients(tiny_gemma4: Callable[[str], Path]):
    model = load_gemma4(tiny_gemma4("E2B"), CPU, torch.bfloat16).model
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_keys_of_a_layer_that_shares_are_ignored(tiny_gemma4: Callable[[str], Path], tmp_path: Path):
    directory = shutil.copytree(tiny_gemma4("E2B"), tmp_path / "copy")
    tensors = load_file(directory / "model.safetensors")
    save_file({**tensors, LAST_K: torch.ones(8, 48)}, directory / "model.safetensors")
    model = load_gemma4(directory, CPU, torch.float32).model
    assert "layers.5.self_attn.k_proj.weight" not in model.state_dict()


def test_an_unknown_text_tensor_is_refused(tiny_gemma4: Callable[[str], Path], tmp_path: Path):
    directory = shutil.copytree(tiny_gemma4("E2B"), tmp_path / "copy")
    tensors = load_file(directory / "model.safetensors")
    save_file({**tensors, "model.layers.9.mlp.up_proj.weight": torch.ones(1)}, directory / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"no tensor that config\.json has no place for, got model\.layers\.9"):
        load_gemma4(directory, CPU, torch.float32)


def test_a_missing_tensor_is_named(tiny_gemma4: Callable[[str], Path], tmp_path: Path):
    directory = shutil.copytree(tiny_gemma4("31B"), tmp_path / "copy")
    tensors = load_file(directory / "model.safetensors")
    del tensors["model.language_model.norm.weight"]
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"wanted tensor model\.language_model\.norm\.weight, got none"):
        load_gemma4(directory, CPU, torch.float32)
