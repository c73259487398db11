"""From checkpoint directories to what fills gaps, on the device that this machine has for it."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.checkpoint import LoadedCheckpoint, load
from midfill.engine.cpu_layers import lay_out_for_cpu
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.drafter import Drafter
from midfill.engine.errors import CheckpointError, InputError
from midfill.engine.gate import read_gate
from midfill.engine.gemma4_checkpoint import LoadedGemma4, load_drafter, load_gemma4
from midfill.engine.gemma4_config import TARGETS
from midfill.engine.infill import KV_BYTES, Infiller
from midfill.engine.installed import drafter_of, embedded_model
from midfill.engine.json_files import read_json
from midfill.engine.machine import working_dtype
from midfill.engine.memory import fits, free_bytes, keep_freed_memory, needed_bytes
from midfill.engine.model_pair import ModelPair
from midfill.engine.recall import read_recall
from midfill.engine.settings import InfillSettings, settings_for
from midfill.engine.steps import step_times
from midfill.engine.stored_models import look_at, readable
from midfill.engine.tokenizer import Tokenizer
from midfill.kernels.selection import CHOICES, VARIABLE, definitions_are_forced, uses_kernels

log = logging.getLogger(__name__)

OnShare = Callable[[float], None]
"""Is told the share of the weights read."""
Steer = Callable[[InfillSettings], InfillSettings]
"""Makes other settings of those that a checkpoint would have."""
WRITTEN_CANVAS = 256
"""Stands for the canvas length of a model without one, wherever that bounds a fill."""


def open_models(path: Path, best: Path | None, on_share: OnShare = lambda share: None) -> Infiller | ModelPair:
    """What serves an engine: the model in `path` alone, or with that in `best` for best quality.

    Raises `CheckpointError` for the first only. Where the second cannot be used, fills in fast mode go on, and those
    in best mode say why they cannot; where it is too large for this machine, the first writes them.
    """
    if best is None or best.resolve() == path.resolve():
        return _open_first(path, on_share, KV_BYTES)
    fast = _open_first(path, lambda share: on_share(share / 2), KV_BYTES // 2)
    name, problem = readable(best.name), _too_large(best)
    if not problem:
        try:
            infiller = open_infiller(best, lambda share: on_share(0.5 + share / 2), kv_bytes=KV_BYTES // 2)
            return ModelPair(fast, infiller, best_model=name)
        except CheckpointError as error:
            log.warning("no best mode: %s", error)
            return ModelPair(fast, None, best_problem=readable(str(error)))
        except (torch.OutOfMemoryError, MemoryError) as error:
            problem = f"{name} did not fit: {error}"
    problem = f"{problem}; {readable(path.name)} does it"
    log.warning("%s", problem)
    return ModelPair(fast, fast, best_problem=problem)


def _open_first(path: Path, on_share: OnShare, kv_bytes: int) -> Infiller:
    """`open_infiller` for someone who types, and `CheckpointError` where memory ends as well.

    Only here are steps measured: `midfill fill` and `midfill eval` have to come to the same on a busy machine.
    """
    try:
        infiller = open_infiller(path, on_share, kv_bytes)
        _measure_steps(infiller.model, infiller.settings)
        return infiller
    except (torch.OutOfMemoryError, MemoryError) as error:
        wanted = "memory for it (end other programs that use it, or choose a smaller model: midfill models)"
        raise CheckpointError(path, wanted, str(error) or "none") from error


def open_infiller(
    path: Path | None = None,
    on_share: OnShare = lambda share: None,
    kv_bytes: int = KV_BYTES,
    steer: Steer = lambda settings: settings,
) -> Infiller:
    """Loads the checkpoint in directory `path`, the embedded one by default. Raises `CheckpointError`.

    Raises `InputError` where the environment asks for neither kernels nor definitions.
    """
    path = path or embedded_model()
    device = _device()
    is_fast = _uses_kernels(device)  # before minutes of loading
    dtype = working_dtype(device)
    checkpoint = _load(path, device, dtype, on_share)
    tokenizer = Tokenizer(checkpoint.tokenizer_path)
    length = checkpoint.config.canvas_length if isinstance(checkpoint, LoadedCheckpoint) else WRITTEN_CANVAS
    settings = settings_for(tokenizer, checkpoint.generation, length)
    settings = steer(msgspec.structs.replace(settings, recall=read_recall(path)))
    drafter = _drafter(path, checkpoint, device, dtype)
    if is_fast:
        from midfill.engine.warm_up import give_kernels  # here: it needs Triton

        give_kernels(checkpoint.model, settings, drafter)
    elif device.type == "cpu" and not definitions_are_forced():
        lay_out_for_cpu(checkpoint.model)
    if device.type == "cpu":
        keep_freed_memory()
    return Infiller(checkpoint.model, tokenizer, settings, kv_bytes, drafter, read_gate(path))


def _measure_steps(model: CausalGemma, settings: InfillSettings) -> None:
    """Over as many canvases as are denoised to the end, from the smallest to the largest, where time is limited."""
    if isinstance(model, DiffusionGemma) and settings.search is None and settings.latency_ms is not None:
        sizes = settings.canvas_size(1), settings.canvas_size(settings.longest_hole // 4), settings.longest_canvas
        model.step_times = step_times(model, settings.num_finalists * settings.num_draws, sizes)


def _load(path: Path, device: torch.device, dtype: torch.dtype, on_share: OnShare) -> LoadedCheckpoint | LoadedGemma4:
    config = path / "config.json"
    kind = read_json(config, dict[str, Any]).get("model_type") if config.exists() else None
    return load_gemma4(path, device, dtype, on_share) if kind in TARGETS else load(path, device, dtype, on_share)


def _drafter(
    path: Path, target: LoadedCheckpoint | LoadedGemma4, device: torch.device, dtype: torch.dtype
) -> Drafter | None:
    """The drafter that belongs to the model in `path`, if it is there and can be used: it changes no fill."""
    if (found := drafter_of(path)) is None:
        return None
    try:
        return load_drafter(found, target.config, device, dtype)
    except CheckpointError as error:
        log.warning("no drafts: %s", error)
        return None


def _too_large(path: Path) -> str | None:
    """What the model in `path` needs and what is free, where the first is more."""
    found, device = look_at(path), _device()
    if found.num_weights is None:
        return None  # whoever loads it says what is wrong with it
    weights, free = found.num_weights * working_dtype(device).itemsize, free_bytes(device)
    return (
        None
        if fits(weights, free)
        else f"{readable(path.name)} needs {_gb(needed_bytes(weights))}, {_gb(free)} are free"
    )


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB"


def _uses_kernels(device: torch.device) -> bool:
    """`uses_kernels`. Raises `InputError` where the environment asks for neither of its choices."""
    try:
        return uses_kernels(device)
    except ValueError as error:
        raise InputError(VARIABLE, " or ".join(CHOICES), str(error)) from None


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
