"""From a checkpoint directory to an `Infiller` on the device that this machine has for it."""

from collections.abc import Callable
from pathlib import Path

import torch

from midfill.engine.checkpoint import load
from midfill.engine.infill import Infiller
from midfill.engine.installed import embedded_model
from midfill.engine.machine import measure_cpu
from midfill.engine.settings import settings_for
from midfill.engine.tokenizer import Tokenizer


def open_infiller(path: Path | None = None, on_share: Callable[[float], None] = lambda share: None) -> Infiller:
    """Loads the checkpoint in directory `path`, the embedded one by default. Raises `CheckpointError`.

    `on_share` is told the share of the weights read.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    checkpoint = load(path or embedded_model(), device, working_dtype(device), on_share)
    tokenizer = Tokenizer(checkpoint.tokenizer_path)
    settings = settings_for(tokenizer, checkpoint.generation, checkpoint.model.config.canvas_length)
    return Infiller(checkpoint.model, tokenizer, settings)


def working_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float32; never float16, which CPUs emulate ten times slower."""
    if device.type == "cuda":
        return torch.bfloat16
    return torch.bfloat16 if measure_cpu().has_fast_bfloat16 else torch.float32
