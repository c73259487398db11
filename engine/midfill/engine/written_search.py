"""The search for a fill in best mode: texts written left to right, ended where the suffix follows best.

One text is what the model likes best, token by token, the others are drawn. A drafter makes each of them in fewer
passes and changes none. Each text has many possible ends: where the suffix's first token was likely, and where it ran
into the suffix. The model then compares the ends of all texts by fill and suffix, as it does with canvases.
"""

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from midfill.engine.candidates import Candidate, Vocabulary, scored, useful
from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.choosing import greedy, sampled
from midfill.engine.draft_length import Round
from midfill.engine.draws import Draws
from midfill.engine.kv import KVSlot
from midfill.engine.prompt import Prompt
from midfill.engine.seam import Seam
from midfill.engine.settings import InfillSettings, WriteSettings
from midfill.engine.speculative import Draft, forget, no_drafts, speculate
from midfill.engine.verify import Verdict, Verify


class WrittenSearch(NamedTuple):
    """What the search of one request needs."""

    model: CausalGemma
    slot: KVSlot
    prompt: Prompt
    seam: Seam
    vocabulary: Vocabulary
    settings: InfillSettings
    draws: Draws
    draft: Draft = no_drafts
    learn: Callable[[Round], None] = forget
    """As `speculate` has them."""

    def run(self, max_tokens: int, num_samples: int) -> Generator[str, None, tuple[list[Candidate], int]]:
        """Fills, best first, and the forward passes that wrote them. The text so far is of the first text written.

        Beside the likeliest text, `num_samples` are drawn.
        """
        settings, passes = self.settings.write, 0
        ends: list[list[int]] = []
        for verify in self._ways(num_samples):
            written = Written(verify, self.prompt.suffix[0], self._length)
            passes += yield from self._write(written, max_tokens, settings, shows=not ends)
            ends += written.ends(settings.ends_a_text)
        distinct = [list(end) for end in dict.fromkeys(map(tuple, ends))] or [[]]
        found = scored(self.model, self.slot, distinct, self.prompt.suffix[: self.settings.scored_suffix])
        return useful(found, self.vocabulary, self.prompt), passes

    def _ways(self, num_samples: int) -> Sequence[Verify]:
        """How each text chooses its tokens."""
        banned = self.vocabulary.unwritable & ~self.vocabulary.ending
        first = self.vocabulary.not_starting_with(self.prompt.partial)
        sample = self.settings.write.sample
        drawn = (sampled(sample, self.draws, banned, first) for _ in range(num_samples))
        return [greedy(banned, first), *drawn]

    def _write(
        self, written: "Written", max_tokens: int, settings: WriteSettings, *, shows: bool
    ) -> Generator[str, None, int]:
        """Writes one text to its end; the slot is as it was. Returns the passes taken."""
        start, hidden, passes = len(self.slot.tokens), self.slot.last_hidden, 0
        assert hidden is not None
        writing = speculate(self.model, self.slot, self.draft, written, self.learn)
        try:
            for passes, _ in enumerate(writing, start=1):  # noqa: B007 (used after the loop)
                yield self.vocabulary.text(written.tokens, self.prompt) if shows else ""
                if written.is_over(max_tokens, settings.patience):
                    break
        finally:
            self.slot.trim(start)
            self.slot.commit([], hidden)
        return passes

    def _length(self, tokens: Sequence[int]) -> int | None:
        """How many of a text's tokens are the fill, where it has come to its end; else None."""
        ending = self.vocabulary.ending[torch.tensor(tokens, device=self.slot.device)].nonzero()
        if len(ending):
            tokens = tokens[: int(ending[0])]
        end = self.seam.end(self._added(tokens))
        if end is None:
            return len(tokens) if len(ending) else None
        return next(length for length in range(len(tokens), -1, -1) if len(self._added(tokens[:length])) <= end)

    def _added(self, tokens: Sequence[int]) -> str:
        return self.vocabulary.text(tokens, self.prompt).removesuffix(self.prompt.closing)


class Written:
    """A text as it is written, and how likely the suffix's first token was after each of its tokens. A `Verify`."""

    def __init__(self, verify: Verify, suffix_start: int, length: Callable[[Sequence[int]], int | None]) -> None:
        self.tokens: list[int] = []
        self._verify, self._suffix_start, self._length = verify, suffix_start, length
        self._log_probability = 0.0
        self._exits: list[float] = []  # with the suffix's first token instead of the next; before each token
        self._end: int | None = None

    def __call__(self, drafts: Sequence[int], logits: Tensor) -> Verdict:
        verdict = self._verify(drafts, logits)
        fresh = [*drafts[: verdict.accepted], verdict.follow]
        chances = logits[: len(fresh)].log_softmax(dim=-1)
        exits = chances[:, self._suffix_start].tolist()
        taken = chances.gather(-1, torch.tensor(fresh, device=chances.device)[:, None])[:, 0].tolist()
        for token, exit_, chance in zip(fresh, exits, taken, strict=True):
            self._exits.append(self._log_probability + exit_)
            self._log_probability += chance
            self.tokens.append(token)
        if self._end is None:
            self._end = self._length(self.tokens)
        return verdict

    def is_over(self, max_tokens: int, patience: float) -> bool:
        """Whether more tokens bring no better end: it has come to one, or none can be as probable as one before."""
        # A log-probability only falls. That of the best end is of one suffix token: it may lose `patience` by others.
        return (
            self._end is not None
            or len(self._exits) > max_tokens
            or self._log_probability < max(self._exits) - patience
        )

    def ends(self, count: int) -> list[list[int]]:
        """Its likeliest fills, at most `count`, and the one where it had come to its end."""
        last = len(self._exits) - 1 if self._end is None else min(self._end, len(self._exits) - 1)
        lengths = sorted(range(1, last + 1), key=lambda length: -self._exits[length])[:count]
        if self._end and self._end not in lengths:
            lengths.append(self._end)
        return [self.tokens[:length] for length in lengths]
