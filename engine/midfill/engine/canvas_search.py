"""The search for a fill in fast mode: hole lengths, denoising, a best-first search beside it, and the choice.

One `next()` is at most one forward pass, as everywhere; the texts so far are the surest at the time.
"""

from collections.abc import Generator, Sequence
from typing import NamedTuple

import msgspec

from midfill.engine.best_first import SearchSettings, best_first_search
from midfill.engine.candidates import Candidate, Vocabulary, lay_out, scored, useful
from midfill.engine.canvas import DenoiseSettings, FirstStep, decode
from midfill.engine.continuation import fill_long
from midfill.engine.continuations import Continuations, recalling
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.draws import Draws
from midfill.engine.fill_end import FillEnd
from midfill.engine.kv import KVSlot
from midfill.engine.lengths import lengths_to_try
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.prompt import Prompt
from midfill.engine.pseudo_likelihood import scored_by_canvas
from midfill.engine.reading import Reading
from midfill.engine.settings import InfillSettings
from midfill.engine.steps import budgeted
from midfill.engine.writable import AnyText


class CanvasSearch(NamedTuple):
    """What the search of one request needs."""

    cache: PrefixCache[DiffusionGemma]
    slot: KVSlot
    prompt: Prompt
    vocabulary: Vocabulary
    settings: InfillSettings
    draws: Draws
    end: FillEnd
    reading: Reading | None
    """Of the prompt, where there is a best-first search."""

    def run(self, max_tokens: int) -> Generator[str, None, tuple[list[Candidate], int]]:
        """Fills, best first, the empty one among them, and the passes that looked for them.

        Many lengths are drafted in one step. From these drafts a search by the causal mode sets out, or its favourites
        are denoised to the end; it chooses. A fill of more than a canvas is the only one.
        """
        settings = self.settings
        if max_tokens > settings.longest_canvas:
            return (yield from self._long(max_tokens))
        lengths = lengths_to_try(min(max_tokens, settings.longest_candidate), settings.num_lengths)
        one_step = msgspec.structs.replace(settings.denoise, max_steps=1)
        first = None if self.reading is None else self.reading.first_step
        drafts, _ = yield from self._denoise(lengths, one_step, first)
        if settings.search is None or self.reading is None:
            fills, passes = yield from self._finish(drafts)
            return self._ended([[], *fills]), 1 + passes
        known = Continuations(self.reading)
        written, passes = yield from self._write(known, drafts, settings.search, max_tokens)
        if not any(self._text(self.end.cut(fill)).strip() for fill in written):
            written = [*drafts, *written]
        return self._ended([[], *written], known), 1 + passes

    def _finish(self, drafts: Sequence[list[int]]) -> Generator[str, None, tuple[list[list[int]], int]]:
        """The best drafts, and what they are when they are denoised to the end; the steps taken."""
        settings = self.settings
        finalists = [one.tokens for one in self._useful(self._ended(drafts))[: settings.num_finalists]]
        yield self._text(finalists[0])
        lengths = [max(1, len(tokens)) for tokens in finalists for _ in range(settings.num_draws)]
        positions = len(lengths) * settings.canvas_size(max(lengths))
        within = budgeted(settings.denoise, settings.latency_ms, self.cache.model.step_times, positions)
        fills, steps = yield from self._denoise(lengths, within)
        return [*finalists, *fills], steps

    def _write(
        self, known: Continuations, drafts: Sequence[list[int]], settings: SearchSettings, max_tokens: int
    ) -> Generator[str, None, tuple[list[list[int]], int]]:
        """Fills that the causal mode writes, and the passes taken. The text so far is the best."""
        settings = msgspec.structs.replace(settings, longest=min(max_tokens, settings.longest))
        writable = AnyText(self.vocabulary.unwritable, self.vocabulary.not_starting_with(self.prompt.partial))
        fills, passes = [], 0
        search = best_first_search(known, drafts, self.prompt.suffix[0], writable, settings)
        for passes, fills in enumerate(search, start=1):  # noqa: B007 (used after the loop)
            yield self._text(fills[0] if fills else [])
        return fills, passes

    def _denoise(
        self, lengths: Sequence[int], settings: DenoiseSettings, first: FirstStep | None = None
    ) -> Generator[str, None, tuple[list[list[int]], int]]:
        """A fill of each length, and the steps taken. The text so far is the surest row's."""
        layout = lay_out(self.prompt, lengths, self.vocabulary, self.settings)._replace(first_step=first)
        canvas = None
        for canvas in decode(self.cache.model, self.slot, layout, settings, self.draws):
            surest = int(canvas.entropies.sum(dim=-1).argmin())
            yield self._text(canvas.tokens[surest, : lengths[surest]].tolist())
        assert canvas is not None
        fills = [row[:length].tolist() for row, length in zip(canvas.tokens, lengths, strict=True)]
        return fills, canvas.step

    def _long(self, max_tokens: int) -> Generator[str, None, tuple[list[Candidate], int]]:
        """A fill over several canvases; what `run` gives."""
        writing = fill_long(self.cache, self.slot, self.prompt, self.vocabulary, self.settings, max_tokens, self.draws)
        tokens, steps = [], 0
        for tokens, steps in writing:  # noqa: B007 (used after the loop)
            yield self._text(tokens)
        self.slot.trim(len(self.prompt.tokens) - 1)
        self.cache.encode(self.slot, self.prompt.tokens[-1:])
        yield self._text(tokens)
        return self._ended([[], tokens]), steps

    def _ended(self, fills: Sequence[list[int]], known: Continuations | None = None) -> list[Candidate]:
        """The fills, cut where they end, as candidates, best first; of several that are alike one."""
        return self.score(list(map(list, dict.fromkeys(tuple(self.end.cut(fill)) for fill in fills))), known)

    def score(self, fills: Sequence[list[int]], known: Continuations | None = None) -> list[Candidate]:
        """The fills as candidates, best first, by the mode that judges; one pass. What is `known` is not read again."""
        model, slot, suffix = self.cache.model, self.slot, self.prompt.suffix
        if self.settings.scored_by == "canvas":
            return scored_by_canvas(model, slot, fills, suffix, self.vocabulary, self.settings)
        known = known or recalling(model, slot, self.prompt, self.settings.recall)
        return scored(model, slot, fills, suffix[: self.settings.scored_suffix], known)

    def _useful(self, candidates: list[Candidate]) -> list[Candidate]:
        return useful(candidates, self.vocabulary, self.prompt)

    def _text(self, tokens: Sequence[int]) -> str:
        return self.vocabulary.text(tokens, self.prompt)
