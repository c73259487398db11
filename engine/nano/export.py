"""Writes the trained nano as an official Hugging Face directory: `python engine/nano/export.py`."""

import argparse
import json
from pathlib import Path

import torch
from contamination import WORK
from safetensors import safe_open
from safetensors.torch import save_file
from shapes import config_json
from torch import Tensor
from train_tokenizer import DEFAULT_OUT

from midfill.engine.weight_files import list_tensors, read_tensors

SHARD_BYTES = 15 << 20
"""No file of the package passes 16 MB."""

GENERATION = {
    "_from_model_config": False,
    "max_new_tokens": 64,
    "max_denoising_steps": 4,
    "sampler_config": {"_cls_name": "EntropyBoundSamplerConfig", "entropy_bound": 0.1},
    "t_min": 0.4,
    "t_max": 0.8,
    "stability_threshold": 1,
    "confidence_threshold": 0.005,
    "eos_token_id": [1],
    "pad_token_id": 0,
    "bos_token_id": 2,
}


PREFIX = "master."
"""Of a training checkpoint's weights."""
OFFICIAL = "model.decoder."
"""Of those of the layers and the embedding, in the official form; the other tower has only scalars of its own."""


def trained_weights(path: Path) -> dict[str, Tensor]:
    """The training checkpoint's weights, float32."""
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.startswith(PREFIX)]  # noqa: SIM118 (not a dict)
        return {name.removeprefix(PREFIX): file.get_tensor(name) for name in names}


def blended(weights: dict[str, Tensor], other: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights of which `share` is `other`'s, from earlier in the same run. Pure."""
    return {name: weight.lerp(other[name], share) for name, weight in weights.items()}


def official_tensors(weights: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """The weights under their official names, bfloat16. Pure."""
    tensors = {f"{OFFICIAL}{name}": weight.bfloat16().contiguous() for name, weight in weights.items()}
    for index in range(num_layers):
        for tower in ("model.decoder", "model.encoder.language_model"):
            tensors[f"{tower}.layers.{index}.layer_scalar"] = torch.ones(1, dtype=torch.bfloat16)
    return tensors


def exported_weights(directory: Path) -> dict[str, Tensor]:
    """What `write_weights` wrote there, under the names of training, float32. Needs no tokenizer beside it.

    Raises `CheckpointError` for a directory without all of it.
    """
    stored = [
        tensor
        for name, tensor in list_tensors(directory).items()
        if name.startswith(OFFICIAL) and not name.endswith("layer_scalar")
    ]
    read = read_tensors(stored, torch.device("cpu"), torch.float32)
    return {tensor.name.removeprefix(OFFICIAL): weight for tensor, weight in read}


def shards(tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """`tensors` in order, in groups of at most `SHARD_BYTES`. Pure."""
    groups: list[dict[str, Tensor]] = [{}]
    for name, tensor in sorted(tensors.items()):
        if sum(other.nbytes for other in groups[-1].values()) + tensor.nbytes > SHARD_BYTES:
            groups.append({})
        groups[-1][name] = tensor
    return groups


def export(weights: dict[str, Tensor], shape: str, out: Path) -> None:
    """Writes config, generation defaults, weights and their index to `out`; the tokenizer stands there already."""
    write_weights(weights, shape, out)
    _write(out / "generation_config.json", GENERATION)


def write_weights(weights: dict[str, Tensor], shape: str, out: Path) -> None:
    """Writes config, weights and their index to `out`."""
    config = config_json(shape)
    groups = shards(official_tensors(weights, config["text_config"]["num_hidden_layers"]))
    weight_map: dict[str, str] = {}
    for old in out.glob("model-*.safetensors"):
        old.unlink()
    for index, group in enumerate(groups, start=1):
        name = f"model-{index:05}-of-{len(groups):05}.safetensors"
        save_file(group, out / name, {"format": "pt"})
        weight_map |= dict.fromkeys(group, name)
    total = sum(tensor.nbytes for group in groups for tensor in group.values())
    _write(out / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})
    _write(out / "config.json", {**config, "dtype": "bfloat16"})


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", help="by default the largest that was trained")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT.parent)
    parser.add_argument("--blend", type=Path, help="an earlier checkpoint of the same run, mixed into the weights")
    parser.add_argument("--blend-share", type=float, default=0.3, help="of that checkpoint")
    arguments = parser.parse_args()
    trained = [s for s in ("M24", "S8") if (arguments.work / f"{s}.checkpoint.safetensors").exists()]
    if not (arguments.shape or trained):
        parser.error(f"no checkpoint in {arguments.work}: run train.py first")
    arguments.shape = arguments.shape or trained[0]
    weights = trained_weights(arguments.work / f"{arguments.shape}.checkpoint.safetensors")
    if arguments.blend is not None:
        weights = blended(weights, trained_weights(arguments.blend), arguments.blend_share)
    export(weights, arguments.shape, arguments.out)


if __name__ == "__main__":
    main()
