"""Candidate fills: hole lengths side by side on small canvases that share one prompt, and the choice between them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from midfill.engine.canvas import Layout
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.draws import Draws
from midfill.engine.kv import KVSlot
from midfill.engine.lengths import most_probable
from midfill.engine.prompt import Prompt
from midfill.engine.scoring import continuation_log_probabilities
from midfill.engine.settings import InfillSettings
from midfill.engine.tokenizer import Tokenizer

PROBE_ROWS = 3
"""Noise draws whose length predictions are averaged."""


class Vocabulary:
    """The token ids that layouts need, on the model's device."""

    def __init__(self, tokenizer: Tokenizer, model: DiffusionGemma) -> None:
        config, self.device = model.config, model.embed_tokens.weight.device
        self.tokenizer, self.size = tokenizer, config.vocab_size
        self.pad, self.end_of_file = config.pad_token_id, config.eos_token_ids[0]
        self.end_mark = tokenizer.special("<|end|>")
        spelled = [id for id, text in enumerate(tokenizer.token_bytes) if text and id < self.size]
        self.unwritable = self._all_but(spelled)
        """[V] bool: special tokens, and rows of the embedding that no text becomes."""
        endings = {self.pad, *config.eos_token_ids} | ({self.end_mark} if self.end_mark is not None else set())
        self.ending = ~self._all_but(sorted(endings))
        """[V] bool: tokens after which a hole holds no more text."""

    def _all_but(self, ids: Sequence[int]) -> Tensor:
        mask = torch.ones(self.size, dtype=torch.bool, device=self.device)
        mask[torch.tensor(ids, dtype=torch.long, device=self.device)] = False
        return mask

    def not_starting_with(self, partial: bytes) -> Tensor | None:
        """[V] bool: tokens that do not begin with `partial`; None if all may stand there."""
        return self._all_but(self.tokenizer.starting_with(partial)) if partial else None


def candidates(prompt: Prompt, lengths: Sequence[int], vocabulary: Vocabulary, settings: InfillSettings) -> Layout:
    """Canvases of one size, one a hole length, each hole followed by as much of the suffix as fits."""
    size = settings.canvas_size(max(lengths))
    rows = [_row(length, prompt.suffix, size, vocabulary.pad) for length in lengths]
    tokens = torch.tensor(rows, device=vocabulary.device)
    hole = torch.arange(size, device=vocabulary.device) < torch.tensor(lengths, device=vocabulary.device)[:, None]
    return Layout(tokens, hole, vocabulary.unwritable, vocabulary.not_starting_with(prompt.partial))


def _row(hole: int, suffix: Sequence[int], size: int, pad: int) -> list[int]:
    pinned = list(suffix[: size - hole])
    return [pad] * hole + pinned + [pad] * (size - hole - len(pinned))


@torch.inference_mode()
def probe(
    model: DiffusionGemma,
    slot: KVSlot,
    prompt: Prompt,
    vocabulary: Vocabulary,
    settings: InfillSettings,
    longest: int,
    draws: Draws,
) -> list[int]:
    """The likeliest hole lengths up to `longest`: one pass over holes of pure noise, read for where they end.

    The end mark stands at one position only, so its probability there is that of the length. The padding behind it
    says nothing more: those positions are padding together or text together.
    """
    assert vocabulary.end_mark is not None
    hole = min(longest + 1, settings.longest_hole)
    layout = candidates(prompt, [hole] * PROBE_ROWS, vocabulary, settings)
    canvas = torch.where(layout.hole, draws.noise(layout.tokens.shape, vocabulary.size), layout.tokens)
    marks = model.embed(layout.tokens) * ~layout.hole[..., None]
    positions = torch.arange(len(slot.tokens), len(slot.tokens) + canvas.shape[1], device=vocabulary.device)
    hidden = model.denoise(canvas, positions, marks, slot.attend_canvas)[:, :hole]
    is_end = model.logits(hidden).softmax(dim=-1)[..., vocabulary.end_mark].mean(dim=0)
    return most_probable(is_end, settings.num_candidates, shortest=1)


def choose(
    model: DiffusionGemma, slot: KVSlot, fills: Sequence[list[int]], suffix_head: Sequence[int]
) -> tuple[list[int], float]:
    """The fill with the highest causal log-probability of fill and suffix head, summed, and its confidence.

    Summed, not averaged: the suffix is the same text in each hypothesis, and a mean would favour long fills.
    """
    scored = continuation_log_probabilities(model, slot, [[*fill, *suffix_head] for fill in fills])
    best = int(torch.stack([each.sum() for each in scored]).argmax())
    return fills[best], float(scored[best][: max(1, len(fills[best]))].mean().exp())
