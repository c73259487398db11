"""Candidate fills: hole lengths side by side on small canvases that share one prompt, and the choice between them."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from midfill.engine.canvas import Layout
from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.continuations import Continuations
from midfill.engine.kv import KVSlot
from midfill.engine.prompt import Prompt
from midfill.engine.scoring import continuation_log_probabilities
from midfill.engine.settings import InfillSettings
from midfill.engine.tokenizer import Tokenizer


class Vocabulary:
    """The token ids that layouts need, on the model's device."""

    def __init__(self, tokenizer: Tokenizer, model: CausalGemma, eos_token_ids: Sequence[int] = ()) -> None:
        config, self.device = model.config, model.embed_tokens.weight.device
        self.tokenizer, self.size = tokenizer, config.vocab_size
        self.pad, self.end_of_file = config.pad_token_id, config.eos_token_ids[0]
        self.end_mark = tokenizer.special("<|end|>")
        spelled = [id for id, text in enumerate(tokenizer.token_bytes) if text]
        self.unwritable = self._all_but(spelled)
        """[V] bool: special tokens, and rows of the embedding that no text becomes."""
        marks = {self.end_mark} if self.end_mark is not None else set[int]()
        self.endings = frozenset({self.pad, *config.eos_token_ids, *eos_token_ids, *marks})
        """Tokens after which a hole holds no more text."""
        self.ending = ~self._all_but(sorted(self.endings))
        """[V] bool: the same."""

    def _all_but(self, ids: Sequence[int]) -> Tensor:
        mask = torch.ones(self.size, dtype=torch.bool, device=self.device)
        mask[torch.tensor(ids, dtype=torch.long, device=self.device)] = False
        return mask

    def text(self, tokens: Sequence[int], prompt: Prompt) -> str:
        """What a fill adds after the cursor: its text less the partial bytes that stood there, and the closing."""
        fresh = self.tokenizer.decode_bytes(tokens)[len(prompt.partial) :]
        return fresh.decode("utf-8", errors="ignore") + prompt.closing

    def not_starting_with(self, partial: bytes) -> Tensor | None:
        """[V] bool: tokens that do not begin with `partial`; None if all may stand there."""
        return self._all_but(self.tokenizer.starting_with(partial)) if partial else None


def lay_out(prompt: Prompt, lengths: Sequence[int], vocabulary: Vocabulary, settings: InfillSettings) -> Layout:
    """Canvases of one size, one a hole length, each hole followed by as much of the suffix as fits."""
    size = settings.canvas_size(max(lengths))
    rows = [canvas_row(length, prompt.suffix, size, vocabulary.pad) for length in lengths]
    tokens = torch.tensor(rows, device=vocabulary.device)
    ends = torch.tensor(lengths, device=vocabulary.device)[:, None]
    places = torch.arange(size, device=vocabulary.device)
    banned_first = vocabulary.not_starting_with(prompt.partial)
    return Layout(
        tokens, places < ends, vocabulary.unwritable, banned_first, needed=places < ends + settings.suffix_head
    )


def canvas_row(hole: int, suffix: Sequence[int], size: int, pad: int) -> list[int]:
    """`size` tokens: a hole (of padding, for now), the suffix head, and padding where the suffix is shorter. Pure."""
    pinned = list(suffix[: size - hole])
    return [pad] * hole + pinned + [pad] * (size - hole - len(pinned))


class Candidate(NamedTuple):
    """A fill, and what the causal mode thinks of it: log-probabilities in nats."""

    tokens: list[int]
    fill: list[float]
    """Of each of its tokens."""
    head: list[float]
    """Of each token of the suffix head behind it."""

    @property
    def score(self) -> float:
        """Of fill and suffix head together: the suffix is the same text behind each fill."""
        return sum(self.fill) + sum(self.head)

    @property
    def mean_probability(self) -> float:
        """Geometric mean of the fill's tokens and the first behind it, which says that the fill ends there.

        What follows in the suffix is as sure or unsure behind a wrong fill as behind a right one.
        """
        return math.exp(fmean([*self.fill, *self.head[:1]]))


def scored(
    model: CausalGemma,
    slot: KVSlot,
    fills: Sequence[list[int]],
    suffix_head: Sequence[int],
    known: Continuations | None = None,
) -> list[Candidate]:
    """The fills as candidates, best first; one causal pass, for what is not `known` of them.

    The suffix head is of one token or more.
    """
    wanted = [[*fill, *suffix_head] for fill in fills]
    if known is None:
        numbers = [each.tolist() for each in continuation_log_probabilities(model, slot, wanted)]
    else:
        numbers = known.log_probabilities(wanted)
    candidates = [
        Candidate(fill, each[: len(fill)], each[len(fill) :]) for fill, each in zip(fills, numbers, strict=True)
    ]
    return sorted(candidates, key=lambda candidate: candidate.score, reverse=True)


def useful(candidates: list[Candidate], vocabulary: Vocabulary, prompt: Prompt) -> list[Candidate]:
    """Those that add more than white space; all, if none does. To add nothing is often the likeliest."""
    return [one for one in candidates if vocabulary.text(one.tokens, prompt).strip()] or candidates
