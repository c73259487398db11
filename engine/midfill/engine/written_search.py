"""The search for a fill in best mode: texts written left to right, ended where the suffix follows best.

One text is what the model likes best, token by token, the others are drawn. A drafter makes each of them in fewer
passes and changes none. Each text has many possible ends: where the suffix's first token was likely, and where it ran
into the suffix. The model then compares the ends of all texts by fill and suffix, as it does with canvases.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import NamedTuple

import torch
from torch import Tensor

from midfill.engine.candidates import Candidate, Vocabulary, scored
from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.choosing import greedy, sampled
from midfill.engine.continuations import recalling
from midfill.engine.draft_length import Round
from midfill.engine.draws import Draws
from midfill.engine.fill_end import End, FillEnd
from midfill.engine.kv import KVSlot
from midfill.engine.prompt import Prompt
from midfill.engine.settings import InfillSettings
from midfill.engine.speculative import Draft, forget, no_drafts, speculate
from midfill.engine.verify import Verdict, Verify

SCORED_AT_ONCE = 1024
"""Tokens of fills and suffixes that are compared in one pass."""


class WrittenSearch(NamedTuple):
    """What the search of one request needs."""

    model: CausalGemma
    slot: KVSlot
    prompt: Prompt
    end: FillEnd
    vocabulary: Vocabulary
    settings: InfillSettings
    draws: Draws
    draft: Draft = no_drafts
    learn: Callable[[Round], None] = forget
    """As `speculate` has them."""

    def run(
        self, max_tokens: int, num_samples: int, so_far: str | None = None
    ) -> Generator[str, None, tuple[list[Candidate], int]]:
        """Fills, best first, the empty one among them, and the forward passes that wrote them.

        Beside the likeliest text, `num_samples` are drawn. The text so far is `so_far`; without it, the likeliest text.
        """
        settings, passes = self.settings.write, 0
        fills: dict[tuple[int, ...], None] = {}
        for verify in self._ways(num_samples):
            written = Written(verify, self.prompt.suffix[0], self.end.find, max_tokens, settings.patience)
            with closing(self._write(written)) as writing:
                for _ in writing:
                    passes += 1
                    yield self._text(written.tokens) if so_far is None else so_far
            so_far = self._text(written.tokens) if so_far is None else so_far
            fills |= dict.fromkeys(map(tuple, written.fills(settings.ends_a_text)))
        found = yield from self._score([[], *map(list, fills)], so_far or "")
        return found, passes

    def _ways(self, num_samples: int) -> Sequence[Verify]:
        """How each text chooses its tokens."""
        banned = self.vocabulary.unwritable & ~self.vocabulary.ending
        first = self.vocabulary.not_starting_with(self.prompt.partial)
        sample = self.settings.write.sample
        drawn = (sampled(sample, self.draws, banned, first) for _ in range(num_samples))
        return [greedy(banned, first), *drawn]

    def _write(self, written: "Written") -> Generator[None, None, None]:
        """Writes one text to its end, a pass a `next()`; afterwards the slot is as it was."""
        start, hidden = len(self.slot.tokens), self.slot.last_hidden
        assert hidden is not None
        writing = speculate(self.model, self.slot, self.draft, written, self.learn)
        try:
            while not written.is_over:
                next(writing)
                yield
        finally:
            self.slot.trim(start)
            self.slot.commit([], hidden)

    def _score(self, fills: list[list[int]], so_far: str) -> Generator[str, None, list[Candidate]]:
        """The fills as candidates, best first; some a pass."""
        head = self.prompt.suffix[: self.settings.scored_suffix]
        at_once = max(1, SCORED_AT_ONCE // (max(map(len, fills)) + len(head)))
        known = recalling(self.model, self.slot, self.prompt, self.settings.recall)
        found: list[Candidate] = []
        for begin in range(0, len(fills), at_once):
            if found:
                yield so_far
            found += scored(self.model, self.slot, fills[begin : begin + at_once], head, known)
        return sorted(found, key=lambda each: each.score, reverse=True)

    def _text(self, tokens: Sequence[int]) -> str:
        return self.vocabulary.text(tokens, self.prompt)


class Written:
    """A text as it is written, and how likely the suffix's first token was after each of its tokens. A `Verify`."""

    def __init__(
        self,
        verify: Verify,
        suffix_start: int,
        end: Callable[[Sequence[int]], End | None],
        max_tokens: int,
        patience: float,
    ) -> None:
        self.tokens: list[int] = []
        self._verify, self._suffix_start, self._find_end = verify, suffix_start, end
        self._max_tokens, self._patience = max_tokens, patience
        self._log_probability = 0.0
        self._exits: list[float] = []  # with the suffix's first token instead of the next; before each token
        self._end: End | None = None

    def __call__(self, drafts: Sequence[int], logits: Tensor) -> Verdict:
        verdict = self._verify(drafts, logits)
        fresh = [*drafts[: verdict.accepted], verdict.follow]
        chances = logits[: len(fresh)].log_softmax(dim=-1)
        exits = chances[:, self._suffix_start].tolist()
        taken = chances.gather(-1, torch.tensor(fresh, device=chances.device)[:, None])[:, 0].tolist()
        for token, exit_, chance in zip(fresh, exits, taken, strict=True):
            if self.is_over:
                break
            self._exits.append(self._log_probability + exit_)
            self._log_probability += chance
            self.tokens.append(token)
            self._end = self._find_end(self.tokens)
        return verdict

    @property
    def is_over(self) -> bool:
        """Whether more tokens bring no better end: it has come to one, or none can be as probable as one before."""
        if self._end is not None or len(self.tokens) > self._max_tokens:
            return True
        # A log-probability only falls. That of the best end is of one suffix token: others may cost it `patience`.
        # Before the first token there is no end, however likely the suffix is there.
        return self._log_probability < max(self._exits[1:], default=-torch.inf) - self._patience

    def fills(self, count: int) -> list[list[int]]:
        """Its likeliest fills, at most `count`, and the one where it had come to its end."""
        last = len(self._exits) - 1 if self._end is None else min(self._end.whole, len(self._exits) - 1)
        lengths = sorted(range(1, last + 1), key=lambda length: -self._exits[length])[:count]
        found = [self.tokens[:length] for length in lengths]
        if self._end is not None:
            found.append([*self.tokens[: self._end.whole], *self._end.rest])
        return [fill for fill in found if 0 < len(fill) <= self._max_tokens]
