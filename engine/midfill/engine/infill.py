"""A fill from request to answer: prompt, prefill, hole lengths, denoising, beam search, choice.

Everything is one generator, and one `next()` is one forward pass: a caller may stop between any two and close it.
"""

import time
from collections.abc import Generator, Sequence

import msgspec
import torch

from midfill.engine.beam import beam_search
from midfill.engine.candidates import Candidate, Vocabulary, lay_out, scored
from midfill.engine.canvas import DenoiseSettings, decode
from midfill.engine.constrained import Choice, HeldSearch, choose
from midfill.engine.continuation import fill_long
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.draws import Draws
from midfill.engine.errors import InputError, ModeMissing
from midfill.engine.grammars import Grammars
from midfill.engine.kv import KVSlot
from midfill.engine.lengths import lengths_to_try
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
        self.grammars = Grammars(tokenizer)
        template = template_for(tokenizer)
        self.prompts = PromptBuilder(tokenizer, template, settings.limits, self.vocabulary.end_of_file)

    @property
    def documents(self) -> int:
        """How many documents have a slot."""
        return len(self.cache.documents)

    @property
    def kv_bytes(self) -> int:
        """Memory of all slots together."""
        return self.cache.num_bytes

    @property
    def device(self) -> str:
        """Where the weights are, as torch calls it."""
        return str(self.model.embed_tokens.weight.device)

    @property
    def dtype(self) -> str:
        """Of weights and KV, as torch calls it."""
        return str(self.model.embed_tokens.weight.dtype).removeprefix("torch.")

    def forget(self, document: str) -> None:
        """Frees the slot of a closed document, which must not be being filled."""
        self.cache.forget(document)

    def works(self) -> bool:
        """Whether the device still computes. After some errors a card refuses all that follows, in this process."""
        try:
            return torch.ones(1, device=self.device).item() == 1
        except RuntimeError:  # a failing card's, too
            return False

    def complete(self, request: InfillRequest) -> Infill:
        """The answer of `fill`, waiting for it."""
        filling = self.fill(request)
        while True:
            try:
                next(filling)
            except StopIteration as end:
                return end.value

    def fill(self, request: InfillRequest) -> Generator[str, None, Infill]:
        """Yields the text so far after each forward pass; returns the answer. Closing it leaves the cache valid.

        Raises `ModeMissing`, and `InputError` if prompt and fill are more than the model's positions, or for a schema
        that cannot be used.
        """
        if request.mode != "fast":
            raise ModeMissing
        started = time.perf_counter()
        prompt = self.prompts.build(request.prefix, request.suffix, request.language, request.snippets)
        positions = self.model.config.max_position_embeddings
        if len(prompt.tokens) + request.max_tokens + self.settings.longest_canvas > positions:
            most = positions - len(prompt.tokens) - self.settings.longest_canvas
            raise InputError("max_tokens", f"at most {most} for this model", request.max_tokens)
        hold = self.grammars.hold(request, prompt)
        cached = self.cache.cached_tokens(request.document, prompt.tokens)
        slot = yield from _silently(self.cache.prefill(request.document, prompt.tokens))
        prefilled = time.perf_counter()
        try:
            draws = Draws(request.seed, slot.device)
            if hold is None:
                best, steps = yield from self._search(slot, prompt, request.max_tokens, draws)
                choice = self._choice(best, prompt)
            else:
                search = HeldSearch(self.model, slot, prompt, self.vocabulary, self.settings, draws, hold)
                found, steps = yield from search.run(request.max_tokens)
                choice = choose(found, hold, self.tokenizer, self.settings.min_confidence)
        finally:
            slot.trim(min(len(prompt.tokens), len(slot.tokens)))
            self.cache.release(request.document)
        return Infill(
            text=choice.text,
            shown=choice.shown,
            valid=choice.valid,
            confidence=round(choice.confidence, 4),
            steps=steps,
            prompt_tokens=len(prompt.tokens),
            cached_tokens=cached,
            prefill_ms=round((prefilled - started) * 1e3, 2),
            decode_ms=round((time.perf_counter() - prefilled) * 1e3, 2),
        )

    def _choice(self, best: Candidate, prompt: Prompt) -> Choice:
        text = self._text(best.tokens, prompt)
        shown = text != prompt.closing and best.confidence >= self.settings.min_confidence
        return Choice(text, best.confidence, shown)

    def _search(
        self, slot: KVSlot, prompt: Prompt, max_tokens: int, draws: Draws
    ) -> Generator[str, None, tuple[Candidate, int]]:
        """The best fill, and the forward passes that looked for it.

        Many lengths are drafted in one step, the causal mode's favourites are denoised to the end, and a beam search
        writes others; the causal mode chooses between all of those.
        """
        settings = self.settings
        if max_tokens > settings.longest_canvas:
            return (yield from self._long(slot, prompt, max_tokens, draws))
        lengths = lengths_to_try(min(max_tokens, settings.longest_candidate), settings.num_lengths)
        one_step = msgspec.structs.replace(settings.denoise, max_steps=1)
        drafts, _ = yield from self._denoise(slot, prompt, lengths, one_step, draws)
        finalists = self._useful(self._score(slot, prompt, drafts), prompt)[: settings.num_finalists]
        yield self._text(finalists[0].tokens, prompt)
        lengths = [len(candidate.tokens) for candidate in finalists for _ in range(settings.num_draws)]
        fills, steps = yield from self._denoise(slot, prompt, lengths, settings.denoise, draws)
        written, tokens = yield from self._write(slot, prompt, max_tokens)
        chosen_from = self._useful([*finalists, *self._score(slot, prompt, [*fills, *written])], prompt)
        return max(chosen_from, key=lambda candidate: candidate.score), 1 + steps + tokens

    def _write(
        self, slot: KVSlot, prompt: Prompt, max_tokens: int
    ) -> Generator[str, None, tuple[list[list[int]], int]]:
        """Fills that the causal mode writes, and the passes taken; none without a beam. The text so far is the best."""
        settings, vocabulary = self.settings.beam, self.vocabulary
        if settings is None:
            return [], 0
        settings = msgspec.structs.replace(settings, longest=min(max_tokens, settings.longest))
        first = vocabulary.not_starting_with(prompt.partial)
        fills, passes = [], 0
        search = beam_search(self.model, slot, prompt.suffix[0], vocabulary.unwritable, first, settings)
        for passes, fills in enumerate(search, start=1):  # noqa: B007 (used after the loop)
            yield self._text(fills[0], prompt)
        return fills, passes

    def _denoise(
        self, slot: KVSlot, prompt: Prompt, lengths: Sequence[int], settings: DenoiseSettings, draws: Draws
    ) -> Generator[str, None, tuple[list[list[int]], int]]:
        """A fill of each length, and the steps taken. The text so far is the surest row's."""
        layout = lay_out(prompt, lengths, self.vocabulary, self.settings)
        canvas = None
        for canvas in decode(self.model, slot, layout, settings, draws):
            surest = int(canvas.entropies.sum(dim=-1).argmin())
            yield self._text(canvas.tokens[surest, : lengths[surest]].tolist(), prompt)
        assert canvas is not None
        fills = [row[:length].tolist() for row, length in zip(canvas.tokens, lengths, strict=True)]
        return fills, canvas.step

    def _long(
        self, slot: KVSlot, prompt: Prompt, max_tokens: int, draws: Draws
    ) -> Generator[str, None, tuple[Candidate, int]]:
        """A fill over several canvases; what `_search` gives."""
        writing = fill_long(self.cache, slot, prompt, self.vocabulary, self.settings, max_tokens, draws)
        tokens, steps = [], 0
        for tokens, steps in writing:  # noqa: B007 (used after the loop)
            yield self._text(tokens, prompt)
        slot.trim(len(prompt.tokens) - 1)
        self.cache.encode(slot, prompt.tokens[-1:])
        yield self._text(tokens, prompt)
        return self._score(slot, prompt, [tokens])[0], steps

    def _score(self, slot: KVSlot, prompt: Prompt, fills: Sequence[list[int]]) -> list[Candidate]:
        return scored(self.model, slot, fills, prompt.suffix[: self.settings.scored_suffix])

    def _useful(self, candidates: list[Candidate], prompt: Prompt) -> list[Candidate]:
        """Those that add more than white space; all, if none does. To add nothing is often the likeliest."""
        return [one for one in candidates if self._text(one.tokens, prompt).strip()] or candidates

    def _text(self, tokens: Sequence[int], prompt: Prompt) -> str:
        """What the tokens add after the cursor: their text less the partial bytes that stood there, and the closing."""
        fresh = self.tokenizer.decode_bytes(tokens)[len(prompt.partial) :]
        return fresh.decode("utf-8", errors="ignore") + prompt.closing


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
