"""A fill from request to answer: prompt, prefill, hole lengths, denoising, choice.

Everything is one generator, and one `next()` is one forward pass: a caller may stop between any two and close it.
"""

import time
from collections.abc import Generator, Sequence

from midfill.engine.candidates import Vocabulary, candidates, choose, probe
from midfill.engine.canvas import decode
from midfill.engine.continuation import fill_long
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.draws import Draws
from midfill.engine.kv import KVSlot
from midfill.engine.lengths import spread
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.prompt import Prompt, PromptBuilder, template_for
from midfill.engine.settings import InfillSettings
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.wire import Infill, InfillRequest


class Infiller:
    """Fills gaps with one loaded checkpoint; keeps the KV of the documents it has seen within `kv_bytes`."""

    def __init__(
        self, model: DiffusionGemma, tokenizer: Tokenizer, settings: InfillSettings, kv_bytes: int = 2 << 30
    ) -> None:
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.vocabulary = Vocabulary(tokenizer, model)
        self.cache = PrefixCache(model, kv_bytes)
        template = template_for(tokenizer)
        self.prompts = PromptBuilder(tokenizer, template, settings.limits, self.vocabulary.end_of_file)

    def complete(self, request: InfillRequest) -> Infill:
        """The answer of `fill`, waiting for it."""
        filling = self.fill(request)
        while True:
            try:
                next(filling)
            except StopIteration as end:
                return end.value

    def fill(self, request: InfillRequest) -> Generator[str, None, Infill]:
        """Yields the text so far after each forward pass; returns the answer. Closing it leaves the cache valid."""
        started = time.perf_counter()
        prompt = self.prompts.build(request.prefix, request.suffix, request.language)
        cached = self.cache.cached_tokens(request.document, prompt.tokens)
        slot = yield from _silently(self.cache.prefill(request.document, prompt.tokens))
        prefilled = time.perf_counter()
        try:
            draws = Draws(request.seed, slot.device)
            tokens, confidence, steps = yield from self._search(slot, prompt, request.max_tokens, draws)
        finally:
            slot.trim(len(prompt.tokens))
            self.cache.release(request.document)
        text = self._text(tokens, prompt) + prompt.closing
        return Infill(
            text=text,
            shown=text != prompt.closing and confidence >= self.settings.min_confidence,
            confidence=round(confidence, 4),
            steps=steps,
            prompt_tokens=len(prompt.tokens),
            cached_tokens=cached,
            prefill_ms=round((prefilled - started) * 1e3, 2),
            decode_ms=round((time.perf_counter() - prefilled) * 1e3, 2),
        )

    def _search(
        self, slot: KVSlot, prompt: Prompt, max_tokens: int, draws: Draws
    ) -> Generator[str, None, tuple[list[int], float, int]]:
        """The best fill's tokens, its confidence and the denoise steps that it took."""
        settings, steps = self.settings, 0
        if max_tokens > settings.longest_canvas:
            return (yield from self._long(slot, prompt, max_tokens, draws))
        longest = min(max_tokens, settings.longest_hole)
        if self.vocabulary.end_mark is None:
            lengths = spread(1, longest, settings.num_candidates)
        else:
            lengths = probe(self.model, slot, prompt, self.vocabulary, settings, longest, draws)
            steps += 1
            yield ""
        layout = candidates(prompt, lengths, self.vocabulary, settings)
        canvas = None
        for canvas in decode(self.model, slot, layout, settings.denoise, draws):
            surest = int(canvas.entropies.sum(dim=-1).argmin())
            yield self._text(canvas.tokens[surest, : lengths[surest]].tolist(), prompt)
        assert canvas is not None
        fills = [row[:length].tolist() for row, length in zip(canvas.tokens, lengths, strict=True)]
        tokens, confidence = choose(self.model, slot, fills, prompt.suffix[: settings.suffix_head])
        return tokens, confidence, steps + canvas.step

    def _long(
        self, slot: KVSlot, prompt: Prompt, max_tokens: int, draws: Draws
    ) -> Generator[str, None, tuple[list[int], float, int]]:
        """A fill over several canvases; what `_search` gives."""
        writing = fill_long(self.cache, slot, prompt, self.vocabulary, self.settings, max_tokens, draws)
        tokens, steps = [], 0
        for tokens, steps in writing:  # noqa: B007 (used after the loop)
            yield self._text(tokens, prompt)
        slot.trim(len(prompt.tokens) - 1)
        self.cache.encode(slot, prompt.tokens[-1:])
        _, confidence = choose(self.model, slot, [tokens], prompt.suffix[: self.settings.suffix_head])
        return tokens, confidence, steps

    def _text(self, tokens: Sequence[int], prompt: Prompt) -> str:
        """What the tokens add after the cursor: their text less the partial bytes that stood there already."""
        return self.tokenizer.decode_bytes(tokens)[len(prompt.partial) :].decode("utf-8", errors="ignore")


def _silently(prefill: Generator[None, None, KVSlot]) -> Generator[str, None, KVSlot]:
    """A prefill whose chunks yield an empty text so far."""
    try:
        while True:
            next(prefill)
            yield ""
    except StopIteration as end:
        return end.value
    finally:
        prefill.close()
