"""How probable fills are to the canvas mode: what chooses between them where the causal mode is not to be trusted.

Each token of a fill and of the suffix head behind it is noised while most others stand, and what the canvas mode then
makes of its place is asked. The sum is no likelihood of the whole: two tokens that are wrong together vouch for each
other.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from midfill.engine.candidates import Candidate, Vocabulary, canvas_row
from midfill.engine.canvas import Layout
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.draws import Draws
from midfill.engine.kv import KVSlot
from midfill.engine.passes import denoise
from midfill.engine.scoring import log_probabilities_at
from midfill.engine.settings import InfillSettings

STRIPES = 4
"""Canvases a fill: on each, one token in so many is noised."""
SEED = 0
"""Of the noise. It is the same for all fills of all requests: luck is not to choose between them."""


@torch.inference_mode()
def scored_by_canvas(
    model: DiffusionGemma,
    slot: KVSlot,
    fills: Sequence[list[int]],
    suffix: Sequence[int],
    vocabulary: Vocabulary,
    settings: InfillSettings,
) -> list[Candidate]:
    """The fills as candidates, best first, by the canvas mode; one pass over `STRIPES` canvases a fill.

    The slot's tokens stay.
    """
    layout = stripes(fills, suffix, vocabulary, settings)
    places = layout.hole.nonzero(as_tuple=True)
    noise = Draws(SEED, torch.device("cpu")).noise(layout.tokens.shape[-1:], vocabulary.size).to(slot.device)
    noisy = torch.where(layout.hole, noise, layout.tokens)
    hidden = denoise(model, slot, noisy, _marks(model, layout, settings), layout.needed)[places]
    found = log_probabilities_at(model, hidden, list(range(len(hidden))), layout.tokens[places].tolist())
    each = torch.zeros(layout.hole.shape, device=slot.device).index_put(places, found)
    rows = each.view(len(fills), STRIPES, -1).sum(dim=1).tolist()  # a place is noised on one of its fill's canvases
    head = len(suffix[: settings.scored_suffix])
    candidates = [
        Candidate(fill, row[: len(fill)], row[len(fill) : len(fill) + head])
        for fill, row in zip(fills, rows, strict=True)
    ]
    return sorted(candidates, key=lambda candidate: candidate.score, reverse=True)


def stripes(
    fills: Sequence[list[int]], suffix: Sequence[int], vocabulary: Vocabulary, settings: InfillSettings
) -> Layout:
    """`STRIPES` canvases a fill, one after another; their holes are its tokens and the scored suffix head. Pure.

    A fill that leaves no room for the head has a canvas larger than any that is filled.
    """
    longest = max(map(len, fills))
    head = len(suffix[: settings.scored_suffix])
    size = max(settings.canvas_size(longest), longest + head)
    rows = [canvas_row(0, [*fill, *suffix], size, vocabulary.pad) for fill in fills for _ in range(STRIPES)]
    ends = torch.tensor([[len(fill)] for fill in fills for _ in range(STRIPES)], device=vocabulary.device)
    places = torch.arange(size, device=vocabulary.device)
    stripe = torch.arange(STRIPES, device=vocabulary.device).repeat(len(fills))[:, None]
    return Layout(
        torch.tensor(rows, device=vocabulary.device),
        (places % STRIPES == stripe) & (places < ends + head),
        needed=places < ends + settings.suffix_head,
    )


def _marks(model: DiffusionGemma, layout: Layout, settings: InfillSettings) -> Tensor | None:
    """What tells the model which tokens stand, as in the first step of denoising."""
    if settings.denoise.mark_pins_from_step:
        return None
    return model.embed(layout.tokens) * ~layout.hole[..., None]
