"""What `generation_config.json` says about denoising; the released model's values where it says nothing."""

from pathlib import Path
from typing import Annotated, Any

import msgspec

from midfill.engine.canvas import DenoiseSettings
from midfill.engine.config import Count, TextConfig
from midfill.engine.errors import CheckpointError
from midfill.engine.json_files import read_json

SAMPLER = "EntropyBoundSamplerConfig"
Positive = Annotated[float, msgspec.Meta(gt=0)]


class GenerationDefaults(msgspec.Struct, frozen=True):
    """Sampler settings of a checkpoint, named as in the file; entropies in nats."""

    eos_token_ids: tuple[int, ...]
    max_denoising_steps: Count = 48
    t_min: Annotated[float, msgspec.Meta(ge=0)] = 0.4
    t_max: Positive = 0.8
    entropy_bound: Positive = 0.1
    stability_threshold: Annotated[int, msgspec.Meta(ge=0)] = 1
    confidence_threshold: Positive = 0.005

    def denoise_settings(self, mark_pins_from_step: int, settle_entropy: float = 0.0) -> DenoiseSettings:
        """These, and what no file says."""
        return DenoiseSettings(
            max_steps=self.max_denoising_steps,
            t_min=self.t_min,
            t_max=self.t_max,
            entropy_bound=self.entropy_bound,
            stability_threshold=self.stability_threshold,
            confidence_threshold=self.confidence_threshold,
            settle_entropy=settle_entropy,
            mark_pins_from_step=mark_pins_from_step,
        )


def read_generation_defaults(path: Path, config: TextConfig) -> GenerationDefaults:
    """The settings in `path`, which may be missing. Raises `CheckpointError` for a value out of range."""
    raw = read_json(path, dict[str, Any]) if path.exists() else {}
    try:
        eos = raw.get("eos_token_id")
        fields = {
            **raw,
            "entropy_bound": _entropy_bound(raw.get("sampler_config")),
            "eos_token_ids": [eos] if isinstance(eos, int) else eos or config.eos_token_ids,
        }
        given = {name: value for name, value in fields.items() if value is not None}
        defaults = msgspec.convert(given, GenerationDefaults)
        if defaults.t_max < defaults.t_min:
            raise ValueError(f"t_max {defaults.t_max} below t_min {defaults.t_min}")
    except ValueError as error:
        raise CheckpointError(path, "valid sampler settings", str(error)) from None
    return defaults


def _entropy_bound(sampler: Any) -> Any:
    """The bound, if `sampler_config` gives one. Raises `ValueError` for another sampler."""
    if sampler is None:
        return None
    if not isinstance(sampler, dict) or sampler.get("_cls_name", SAMPLER) != SAMPLER:
        raise ValueError(f"sampler_config {sampler!r}")
    return sampler.get("entropy_bound")
