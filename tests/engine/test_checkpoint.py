"""`midfill.engine.checkpoint`: the official form in all its variants, its memory, and every way to be broken."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engine.tiny import SHAPES, respell_config, shard_weights
from torch import Tensor

from midfill.engine import checkpoint
from midfill.engine.checkpoint import load
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.errors import CheckpointError

CPU = torch.device("cpu")
EMBEDDINGS = "model.decoder.embed_tokens.weight"
ENCODER = "model.encoder.language_model."
EXPERTS = "model.decoder.layers.0.experts.gate_up_proj"


@pytest.fixture
def directory(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a tiny checkpoint, to be changed."""
    return shutil.copytree(tiny_checkpoint("released"), tmp_path / "copy")


def load_model(directory: Path) -> DiffusionGemma:
    return load(directory, CPU, torch.float32).model


def edit_weights(directory: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(directory / "model.safetensors")
    edit(tensors)
    save_file(tensors, directory / "model.safetensors")


def edit_json(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def assert_same_weights(model: DiffusionGemma, other: DiffusionGemma) -> None:
    weights, others = model.state_dict(), other.state_dict()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_stored_text_tensor_has_its_place(shape: str, tiny_checkpoint: Callable[[str], Path]) -> None:
    loaded = load(tiny_checkpoint(shape), CPU, torch.float32)
    stored = load_file(tiny_checkpoint(shape) / "model.safetensors")
    for name, tensor in loaded.model.state_dict().items():
        if name.endswith("encoder_layer_scalar"):
            official = ENCODER + name.replace("encoder_", "")
        else:
            official = f"model.decoder.{name}"
        assert torch.equal(tensor, stored.pop(official)), name
    assert all(name.startswith(("model.encoder.vision_tower.", "model.encoder.embed_vision.")) for name in stored)


def test_the_layer_scalars_of_the_modes_stay_apart(directory: Path) -> None:
    for layer in load_model(directory).layers:
        assert layer.encoder_layer_scalar != layer.layer_scalar


def test_a_loaded_model_is_in_evaluation_mode_without_gradients(directory: Path) -> None:
    model = load_model(directory)
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in model.parameters())


def test_settings_and_tokenizer_come_along(directory: Path) -> None:
    loaded = load(directory, CPU, torch.float32)
    assert loaded.generation.max_denoising_steps == 6
    assert loaded.generation.eos_token_ids == (1, 3)
    assert loaded.tokenizer_path == directory / "tokenizer.json"
    assert loaded.config is loaded.model.config


@pytest.mark.parametrize("shape", SHAPES)
def test_the_older_spelling_loads_the_same(shape: str, tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    older = shutil.copytree(tiny_checkpoint(shape), tmp_path / "older")
    respell_config(older)
    assert_same_weights(load_model(older), load_model(tiny_checkpoint(shape)))


def test_shards_load_the_same(directory: Path, tiny_checkpoint: Callable[[str], Path]) -> None:
    shard_weights(directory, 3)
    assert not (directory / "model.safetensors").exists()
    assert_same_weights(load_model(directory), load_model(tiny_checkpoint("released")))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_come_in_the_wanted_dtype(dtype: torch.dtype, directory: Path) -> None:
    weights = load(directory, CPU, dtype).model.state_dict()
    exact = load_model(directory).state_dict()
    assert all(torch.equal(weights[name], exact[name].to(dtype)) for name in exact)


def test_tied_and_vestigial_copies_are_ignored(directory: Path, tiny_checkpoint: Callable[[str], Path]) -> None:
    extras = ["lm_head.weight", f"{ENCODER}embed_tokens.weight", "model.encoder.embed_vision.embedding.weight"]
    edit_weights(directory, lambda tensors: tensors.update({name: torch.ones(1) for name in extras}))
    assert_same_weights(load_model(directory), load_model(tiny_checkpoint("released")))


def test_without_encoder_scalars_the_decoders_serve_both_modes(directory: Path) -> None:
    def drop(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if name.startswith(ENCODER)]:
            del tensors[name]

    edit_weights(directory, drop)
    for layer in load_model(directory).layers:
        assert layer.encoder_layer_scalar == layer.layer_scalar


def remove(name: str) -> Callable[[Path], None]:
    return lambda directory: (directory / name).unlink()


def change_weights(edit: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    return lambda directory: edit_weights(directory, edit)


def change_json(name: str, edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return lambda directory: edit_json(directory / name, edit)


def truncate_a_shard(directory: Path) -> None:
    shard_weights(directory, 2)
    shard = directory / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])


def remove_a_shard(directory: Path) -> None:
    shard_weights(directory, 2)
    (directory / "model-00002-of-00002.safetensors").unlink()


def remove_an_index_entry(directory: Path) -> None:
    shard_weights(directory, 2)
    edit_json(directory / "model.safetensors.index.json", lambda index: index["weight_map"].pop(EXPERTS))


def change_vocabulary(change: int) -> Callable[[Path], None]:
    """Writes a tokenizer of `change` more or fewer ids than the model has embeddings."""

    def write(directory: Path) -> None:
        vocabulary = {f"token {id}": id for id in range(512 + change)}
        content = {"model": {"type": "BPE", "vocab": vocabulary}, "added_tokens": []}
        (directory / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")

    return write


@pytest.mark.parametrize(
    ("damage", "file", "message"),
    [
        (remove("config.json"), "config.json", "wanted a config.json, got no such file"),
        (remove("model.safetensors"), "model.safetensors", "wanted the weights, got no such file"),
        (remove("tokenizer.json"), "tokenizer.json", "wanted a tokenizer.json, got no such file"),
        (remove_a_shard, "model-00002-of-00002.safetensors", "wanted the weights, got no such file"),
        (truncate_a_shard, "model-00002-of-00002.safetensors", "wanted a whole safetensors file, got "),
        (
            remove_an_index_entry,
            "model.safetensors.index.json",
            f"wanted tensor {EXPERTS}, got none of that name",
        ),
        (
            change_weights(lambda tensors: tensors.pop(EXPERTS)),
            "model.safetensors",
            f"wanted tensor {EXPERTS}, got none of that name",
        ),
        (
            change_weights(lambda tensors: tensors.update({EMBEDDINGS: torch.zeros(500, 64)})),
            "model.safetensors",
            f"wanted {EMBEDDINGS} of shape [512, 64], by config.json, got [500, 64]",
        ),
        (
            change_weights(lambda tensors: tensors.update({EMBEDDINGS: torch.zeros(512, 64, dtype=torch.float64)})),
            "model.safetensors",
            f"wanted {EMBEDDINGS} in F32, BF16, F16, got F64",
        ),
        (
            change_weights(lambda tensors: tensors.update({f"{EXPERTS}_packed": torch.zeros(1)})),
            "model.safetensors",
            f"wanted unquantised weights, got tensor {EXPERTS}_packed",
        ),
        (
            change_weights(
                lambda tensors: tensors.update({"model.decoder.layers.0.mlp.up_proj.weight_scale": torch.ones(1)})
            ),
            "model.safetensors",
            "wanted unquantised weights, got tensor model.decoder.layers.0.mlp.up_proj.weight_scale",
        ),
        (
            change_weights(
                lambda tensors: tensors.update({"model.decoder.layers.5.self_attn.v_proj.weight": torch.ones(1)})
            ),
            "model.safetensors",
            "wanted no tensor that config.json has no place for, got model.decoder.layers.5.self_attn.v_proj.weight",
        ),
        (
            change_json("config.json", lambda config: config.update(model_type="gemma4")),
            "config.json",
            "wanted model_type 'diffusion_gemma', got 'gemma4'",
        ),
        (
            change_json("config.json", lambda config: config.update(quantization_config={"quant_method": "fp8"})),
            "config.json",
            "wanted an unquantised checkpoint (float32, bfloat16 or float16), got quantisation 'fp8'",
        ),
        (
            change_json("generation_config.json", lambda settings: settings.update(t_min="cold")),
            "generation_config.json",
            "wanted valid sampler settings, got Expected `float`, got `str` - at `$.t_min`",
        ),
        (
            change_json("tokenizer.json", lambda tokenizer: tokenizer.pop("model")),
            "tokenizer.json",
            "wanted a valid tokenizer.json, got Object missing required field `model`",
        ),
        (
            change_json("tokenizer.json", lambda tokenizer: tokenizer["added_tokens"].append({"id": 512})),
            "tokenizer.json",
            "wanted 1 to 512 token ids, as vocab_size in config.json is 512, got 513",
        ),
        (change_vocabulary(+1), "tokenizer.json", "as vocab_size in config.json is 512, got 513"),
        (change_vocabulary(-512), "tokenizer.json", "as vocab_size in config.json is 512, got 0"),
    ],
)
def test_what_is_wrong_is_one_error_that_names_the_file(
    damage: Callable[[Path], None], file: str, message: str, directory: Path
) -> None:
    damage(directory)
    with pytest.raises(CheckpointError) as caught:
        load(directory, CPU, torch.float32)
    assert str(caught.value).startswith(f"{directory / file}: wanted ")
    assert message in str(caught.value)


def test_a_vocabulary_may_leave_spare_embeddings_but_not_many(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SPARE_EMBEDDINGS", 10)
    change_vocabulary(-10)(directory)
    load(directory, CPU, torch.float32)
    change_vocabulary(-11)(directory)
    with pytest.raises(CheckpointError, match="wanted 502 to 512 token ids"):
        load(directory, CPU, torch.float32)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="none: wanted a model directory, got no such directory"):
        load(tmp_path / "none", CPU, torch.float32)


def test_a_file_is_not_a_directory(directory: Path) -> None:
    with pytest.raises(CheckpointError, match="wanted a model directory, got a file"):
        load(directory / "config.json", CPU, torch.float32)


@pytest.mark.parametrize(("is_terminal", "is_shown"), [("1", True), ("0", False)])
def test_a_long_load_shows_its_progress_on_a_terminal_only(
    is_terminal: str,
    is_shown: bool,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", is_terminal)  # what rich asks before it asks the file
    monkeypatch.setattr(checkpoint, "LONG_LOAD_BYTES", 0)
    load_model(directory)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("loading weights" in captured.err) == is_shown


def test_a_short_load_shows_none(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    load_model(directory)
    assert capsys.readouterr().err == ""


MEASURE_PEAK = """
import sys, torch
from pathlib import Path
from midfill.engine.checkpoint import load
from midfill.engine.weight_files import list_tensors

def memory_kib(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))

before = memory_kib("VmRSS:")
model = load(Path(sys.argv[1]), torch.device("cpu"), torch.bfloat16).model
for tensor in model.state_dict().values():
    tensor.sum()  # a mapped file is memory once it is touched
weights = sum(tensor.numel() * tensor.itemsize for tensor in model.state_dict().values())
print((memory_kib("VmHWM:") - before) * 1024 / weights)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to measure a process's peak memory")
@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float32])
def test_loading_peaks_at_little_more_than_the_weights(stored: torch.dtype, directory: Path) -> None:
    widen(directory, stored)
    command = [sys.executable, "-c", MEASURE_PEAK, str(directory)]
    peak = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert 0.9 < peak < 1.15


def widen(directory: Path, stored: torch.dtype) -> None:
    """Turns a checkpoint into one of the same form and 220 MB in bfloat16, no tensor of which is over a fiftieth."""
    sizes = {"hidden_size": 512, "intermediate_size": 1024, "moe_intermediate_size": 256, "num_hidden_layers": 24}
    sizes |= {"num_experts": 8, "layer_types": ["sliding_attention"] * 23 + ["full_attention"]}
    sizes |= {"per_layer_config": {}}
    edit_json(directory / "config.json", lambda config: config["text_config"].update(sizes))
    with torch.device("meta"):
        model = DiffusionGemma(checkpoint.read_config(directory / "config.json"))
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items() if "encoder" not in name}
    tensors = {f"model.decoder.{name}": torch.full(shape, 0.5, dtype=stored) for name, shape in shapes.items()}
    save_file(tensors, directory / "model.safetensors")
