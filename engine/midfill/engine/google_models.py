"""Google's checkpoints that this engine runs and that can be pulled.

Their names are those on the Hugging Face hub, where all are published under Apache-2.0. The numbers of weights are
sums over the text part's shapes, which the published config.json of each gives.
"""

import msgspec

from midfill.engine.stored_models import Use


class GoogleModel(msgspec.Struct, frozen=True):
    """`num_weights` counts what the engine loads of it."""

    repo: str
    kind: str
    uses: tuple[Use, ...]
    num_weights: int


GOOGLE_MODELS = (
    GoogleModel("google/diffusiongemma-26B-A4B-it", "diffusion_gemma", ("fast", "best"), 25_250_000_000),
    GoogleModel("google/gemma-4-E2B-it", "gemma4", ("best",), 4_628_569_379),
    GoogleModel("google/gemma-4-E4B-it", "gemma4", ("best",), 7_463_013_418),
    GoogleModel("google/gemma-4-12B-it", "gemma4_unified", ("best",), 11_907_350_320),
    GoogleModel("google/gemma-4-26B-A4B-it", "gemma4", ("best",), 25_233_141_790),
    GoogleModel("google/gemma-4-31B-it", "gemma4", ("best",), 30_697_345_340),
    GoogleModel("google/gemma-4-E2B-it-assistant", "gemma4_assistant", ("drafting",), 77_731_332),
    GoogleModel("google/gemma-4-E4B-it-assistant", "gemma4_assistant", ("drafting",), 78_517_764),
    GoogleModel("google/gemma-4-12B-it-assistant", "gemma4_unified_assistant", ("drafting",), 422_856_964),
    GoogleModel("google/gemma-4-26B-A4B-it-assistant", "gemma4_assistant", ("drafting",), 419_711_236),
    GoogleModel("google/gemma-4-31B-it-assistant", "gemma4_assistant", ("drafting",), 469_518_596),
)
