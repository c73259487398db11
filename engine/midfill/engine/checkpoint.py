"""A model directory in Hugging Face's form, `model_type: diffusion_gemma`, as a model ready to run.

Both modes share their weights, stored once as `model.decoder.` and the name they have in `DiffusionGemma`.
Of the encoder come its layer scalars; its vision tower is skipped. `gemma4_checkpoint.py` reads the other kinds.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from torch import Tensor, nn

from midfill.engine.config import ModelConfig, read_config
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.errors import CheckpointError
from midfill.engine.generation_defaults import GenerationDefaults, read_generation_defaults
from midfill.engine.json_files import read_json
from midfill.engine.stored_weights import INDEX, SINGLE
from midfill.engine.weight_files import FLOATS, INTEGERS, StoredTensor, list_tensors, read_tensors

PREFIX = "model.decoder."
ENCODER_SCALAR = re.compile(r"layers\.(\d+)\.encoder_layer_scalar")
QUANTISED = re.compile(r"_packed$|(weight|input)_(global_)?scale(_\w+)?$|\.(qweight|qzeros|absmax)$")
SPARE_EMBEDDINGS = 1024
"""Embedding rows that a vocabulary may leave unused: tables are padded for the hardware."""
LONG_LOAD_BYTES = 1 << 30
"""Less is read before a progress bar could be."""


class LoadedCheckpoint(NamedTuple):
    """A model in evaluation mode, without gradients, and what its directory says about its use."""

    model: DiffusionGemma
    config: ModelConfig
    generation: GenerationDefaults
    tokenizer_path: Path


def load(
    path: Path, device: torch.device, dtype: torch.dtype, on_share: Callable[[float], None] = lambda share: None
) -> LoadedCheckpoint:
    """The checkpoint in directory `path`, its weights on `device` in `dtype`.

    Peak memory is the weights and one tensor of the files more; where the files hold `dtype` already, the CPU
    uses them in place (see `weight_files.py`). Shows its progress if stderr is a terminal, and tells
    `on_share` the share of the weights read. Raises `CheckpointError` before any weight is read.
    """
    check_directory(path)
    config = read_config(path / "config.json")
    generation = read_generation_defaults(path / "generation_config.json", config)
    tokenizer_path = path / "tokenizer.json"
    check_vocabulary(tokenizer_path, config.vocab_size)
    with torch.device("meta"):
        model = DiffusionGemma(config)
    naming = Naming(_official, lambda name: name.startswith(PREFIX))
    load_weights(model, path, list_tensors(path), naming, device, dtype, on_share)
    return LoadedCheckpoint(model, config, generation, tokenizer_path)


class Naming(NamedTuple):
    """What a kind of checkpoint calls the tensors of its model."""

    official: Callable[[str], Sequence[str]]
    """Name in the model -> names that it may be stored by, the first of which is right."""
    must_be_known: Callable[[str], bool]
    """Whether a stored tensor of that name is wrong if the model has no place for it."""


def check_directory(path: Path) -> None:
    """Raises `CheckpointError` unless `path` is a directory."""
    if not path.is_dir():
        raise CheckpointError(path, "a model directory", "a file" if path.exists() else "no such directory")


def load_weights(
    model: nn.Module,
    path: Path,
    stored: dict[str, StoredTensor],
    naming: Naming,
    device: torch.device,
    dtype: torch.dtype,
    on_share: Callable[[float], None],
) -> None:
    """Gives `model`, made on the meta device, what is `stored` in `path`; for evaluation, without gradients.

    Raises `CheckpointError` before any weight is read.
    """
    tensors = _match(model, stored, naming, path)
    model.eval().requires_grad_(False).load_state_dict(_read(tensors, device, dtype, on_share), assign=True)


class _AddedToken(msgspec.Struct):
    id: int


class _Vocabulary(msgspec.Struct):
    vocab: dict[str, int] | list[tuple[str, float]]


class _TokenizerFile(msgspec.Struct):
    model: _Vocabulary
    added_tokens: list[_AddedToken] = []


def check_vocabulary(path: Path, num_embeddings: int) -> None:
    """Raises unless each token of `tokenizer.json` has an embedding and few embeddings lack a token."""
    tokenizer = read_json(path, _TokenizerFile)
    vocabulary = tokenizer.model.vocab
    ids = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
    num_ids = 1 + max((*ids, *(token.id for token in tokenizer.added_tokens)), default=-1)
    fewest = max(1, num_embeddings - SPARE_EMBEDDINGS)
    if not fewest <= num_ids <= num_embeddings:
        wanted = f"{fewest} to {num_embeddings} token ids, as vocab_size in config.json is {num_embeddings}"
        raise CheckpointError(path, wanted, num_ids)


def _match(model: nn.Module, stored: dict[str, StoredTensor], naming: Naming, path: Path) -> dict[str, StoredTensor]:
    """Where each tensor of `model` is stored, by its name in `model`."""
    listing = path / (SINGLE if (path / SINGLE).exists() else INDEX)
    for tensor in stored.values():
        if QUANTISED.search(tensor.name):
            raise CheckpointError(tensor.file, "unquantised weights", f"tensor {tensor.name}")
    matched = {name: _find(naming.official(name), stored, listing) for name in model.state_dict()}
    used = {tensor.name for tensor in matched.values()}
    for tensor in stored.values():
        if tensor.name not in used and naming.must_be_known(tensor.name):
            raise CheckpointError(tensor.file, "no tensor that config.json has no place for", tensor.name)
    for name, place in model.state_dict().items():
        _check_tensor(matched[name], place)
    return matched


def _official(name: str) -> list[str]:
    if scalar := ENCODER_SCALAR.fullmatch(name):
        theirs = f"layers.{scalar[1]}.layer_scalar"
        return [f"model.encoder.language_model.{theirs}", PREFIX + theirs]
    return [PREFIX + name]


def _find(names: Sequence[str], stored: dict[str, StoredTensor], listing: Path) -> StoredTensor:
    """The first of `names` that is stored."""
    for name in names:
        if name in stored:
            return stored[name]
    raise CheckpointError(listing, f"tensor {names[0]}", "none of that name")


def _check_tensor(tensor: StoredTensor, place: Tensor) -> None:
    if tensor.shape != place.shape:
        wanted = f"{tensor.name} of shape {list(place.shape)}, by config.json"
        raise CheckpointError(tensor.file, wanted, list(tensor.shape))
    dtypes = FLOATS if place.is_floating_point() else INTEGERS
    if tensor.dtype not in dtypes:
        raise CheckpointError(tensor.file, f"{tensor.name} in {', '.join(dtypes)}", tensor.dtype)


def _read(
    tensors: dict[str, StoredTensor], device: torch.device, dtype: torch.dtype, on_share: Callable[[float], None]
) -> dict[str, Tensor]:
    """The tensors themselves, under the same names."""
    console = Console(stderr=True)
    total = sum(tensor.num_bytes for tensor in set(tensors.values()))
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        disable=not console.is_terminal or total < LONG_LOAD_BYTES,
        transient=True,
    ) as progress:
        task = progress.add_task("loading weights", total=total)
        read: dict[StoredTensor, Tensor] = {}
        num_bytes = 0
        for tensor, weights in read_tensors(set(tensors.values()), device, dtype):
            read[tensor] = weights
            num_bytes += tensor.num_bytes
            progress.advance(task, tensor.num_bytes)
            on_share(num_bytes / total)
    return {name: read[tensor] for name, tensor in tensors.items()}
