"""A fill from request to answer: prompt, prefill, search, choice.

Everything is one generator, and one `next()` is at most one forward pass, or a part of making out what JSON is held to.
A caller may stop between any two and close it.
"""

import logging
import time
from collections.abc import Generator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple, TypeVar, cast

import msgspec
import torch

from midfill.engine.candidates import Candidate, Vocabulary, useful
from midfill.engine.canvas_search import CanvasSearch
from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.constrained import Choice, HeldSearch, choose
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.draft_length import DraftLength
from midfill.engine.drafter import Drafter
from midfill.engine.draws import Draws
from midfill.engine.errors import InputError, MemoryFull
from midfill.engine.fill_end import FillEnd
from midfill.engine.gate import Gate, MeanGate
from midfill.engine.grammars import Grammars
from midfill.engine.judging import Judge, Judged
from midfill.engine.kv import KVSlot
from midfill.engine.memory import free_bytes
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.prompt import Prompt, PromptBuilder, template_for
from midfill.engine.reading import Reading
from midfill.engine.recall import Recall
from midfill.engine.scope import ends_at, scope_of
from midfill.engine.seam import seam
from midfill.engine.settings import InfillSettings
from midfill.engine.speculative import drafts_that_pay, forget, no_drafts
from midfill.engine.syntax import SyntaxCheck
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.wire import Infill, InfillRequest, Other
from midfill.engine.written_search import WrittenSearch

log = logging.getLogger(__name__)

Ended = TypeVar("Ended")

KV_BYTES = 2 << 30
"""What the slots of all documents may have together."""
HOST_CHUNK, CARD_CHUNK = 256, 1024
"""Prompt tokens of a pass. On a card each pass reads nearly all weights, whatever its length: 1,024 tokens are 6.3
TFLOP for the 26B-A4B, less time than its 49 GB take, and a newer key waits for one pass either way."""
MOST_DRAFTS = 6
"""Tokens that are drafted at once, as Google's drafters are set to."""


class LastRead(NamedTuple):
    """What the last fill left to the next."""

    document: str
    settings: InfillSettings
    reading: Reading


class Found(NamedTuple):
    """What a search came to."""

    fills: list[Candidate]
    """Best first, the empty one among them."""
    passes: int
    """That looked for them."""
    quick_passes: int
    """Those of them that fast mode takes, too: gates are fitted on that."""


class Infiller:
    """Fills gaps with one loaded checkpoint; keeps the KV of the documents it has seen within `kv_bytes`.

    Only a `DiffusionGemma` has a canvas. What any other model fills it writes, in either mode.
    """

    best_model = best_problem = ""
    """As in `Status`: it serves both modes itself."""

    def __init__(
        self,
        model: CausalGemma,
        tokenizer: Tokenizer,
        settings: InfillSettings,
        kv_bytes: int = KV_BYTES,
        drafter: Drafter | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self._has_canvas = isinstance(model, DiffusionGemma)
        self.draft, self.learn = no_drafts, forget
        if drafter is not None:
            lengths = DraftLength(MOST_DRAFTS)
            self.draft, self.learn = drafts_that_pay(drafter, model, lengths), lengths.learn
        self.vocabulary = Vocabulary(tokenizer, model, settings.eos_token_ids)
        self.judge = Judge(self.vocabulary, SyntaxCheck(), settings.syntax_penalty, settings.repeat_penalty)
        self.gate = gate or MeanGate(settings.min_confidence)
        self.cache = PrefixCache(model, kv_bytes, HOST_CHUNK if model.kernels is None else CARD_CHUNK)
        self._last_read: LastRead | None = None
        self.grammars = Grammars(tokenizer)
        template = template_for(tokenizer)
        ending = template.end_of_file(tokenizer)
        ending = self.vocabulary.end_of_file if ending is None else ending
        self.prompts = PromptBuilder(tokenizer, template, settings.limits, ending)

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
        """Of the weights, as torch calls it."""
        return str(self.model.embed_tokens.weight.dtype).removeprefix("torch.")

    def forget(self, document: str) -> None:
        """Frees the slot of a closed document, which must not be being filled."""
        if self._last_read is not None and self._last_read.document == document:
            self._last_read = None
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

        Raises `InputError` if prompt and fill are more than the model's positions, or for a schema that cannot be used,
        and `MemoryFull`: then all documents that are not being filled have lost their slots.
        """
        try:
            return (yield from self._fill(request))
        except (torch.OutOfMemoryError, MemoryError):
            log.exception("out of memory")
        # Only here is free what the fill had: the exception held its frames.
        self._last_read = None
        self.cache.drop_idle()
        device = self.model.embed_tokens.weight.device
        if device.type == "cuda":
            torch.cuda.empty_cache()
        raise MemoryFull(free_bytes(device))

    def _fill(self, request: InfillRequest) -> Generator[str, None, Infill]:
        started = time.perf_counter()
        prompt = self.prompts.build(request.prefix, request.suffix, request.language, request.snippets)
        beyond = self.settings.longest_canvas if self._has_canvas else self.settings.scored_suffix + MOST_DRAFTS
        most = self.model.config.max_position_embeddings - len(prompt.tokens) - beyond
        if request.max_tokens > most:
            raise InputError("max_tokens", f"at most {most} for this model", request.max_tokens)
        settings = self.settings
        hold = yield from _silently(self.grammars.hold(request, prompt))
        reading = self._go_on(request.document, prompt)
        cached = self.cache.cached_tokens(request.document, prompt.tokens)
        slot = yield from _silently(self.cache.prefill(request.document, prompt.tokens))
        prefilled = time.perf_counter()
        try:
            if reading is None or reading.slot is not slot:
                reading = self.reading(slot, prompt)
            draws = Draws(request.seed, slot.device)
            if hold is None:
                search = yield from self.search(slot, prompt, request, draws, reading)
                judged, steps = self.judge.order(search.fills, prompt, request, search.quick_passes), search.passes
                choice, others = self._choice(judged, prompt, request)
            else:
                writes = request.mode == "best" or not self._has_canvas
                beam = self.settings.write.held if writes else None
                search = HeldSearch(
                    self.model, slot, prompt, self.vocabulary, self.settings, draws, hold, beam, reading
                )
                found, steps = yield from search.run(request.max_tokens)
                least = MeanGate(self.settings.min_confidence).threshold(request.eagerness)
                choice, others = choose(found, hold, self.tokenizer, least), ()
        finally:
            slot.trim(min(len(prompt.tokens), len(slot.tokens)))
            self.cache.release(request.document)
            if reading is not None:  # even of a fill that was closed: the next key may ask for the same
                self._leave(LastRead(request.document, settings, reading))
        return Infill(
            text=choice.text,
            shown=choice.shown,
            valid=choice.valid,
            others=others,
            confidence=round(choice.confidence, 4),
            steps=steps,
            prompt_tokens=len(prompt.tokens),
            cached_tokens=cached,
            prefill_ms=round((prefilled - started) * 1e3, 2),
            decode_ms=round((time.perf_counter() - prefilled) * 1e3, 2),
        )

    def reading(self, slot: KVSlot, prompt: Prompt) -> Reading | None:
        """A new one, of a slot that holds `prompt`; None where no search asks for it."""
        if self.settings.search is None:
            return None
        return Reading(self.model, slot, Recall.of(self.settings.recall, prompt), prompt.elsewhere)

    def _leave(self, last: LastRead) -> None:
        """Leaves what was read to the document's next fill, if its slot is still cached and nothing else was read."""
        is_cached = any(slot is last.reading.slot for slot in self.cache.slots(last.document))
        if is_cached and last.reading.is_whole:
            self._last_read = last

    def _go_on(self, document: str, prompt: Prompt) -> Reading | None:
        """What was read for the last fill, if that was the document's and is true behind `prompt`.

        It is this fill's then, and the slot holds that prompt.
        """
        last = self._last_read
        if last is None or last.document != document:
            return None
        self._last_read = None
        starting = self.vocabulary.not_starting_with(prompt.partial)
        return last.reading if last.settings is self.settings and last.reading.go_on(prompt, starting) else None

    def search(
        self, slot: KVSlot, prompt: Prompt, request: InfillRequest, draws: Draws, reading: Reading | None
    ) -> Generator[str, None, Found]:
        """The fills for a prompt that is in the cache, by a `reading` of that.

        In best mode a model with a canvas fills that, if one is large enough, and writes, and all of it is compared:
        both read the same cache.
        """
        found, steps, so_far, on_canvas = list[Candidate](), 0, None, None
        where = seam(request.prefix, request.suffix)
        scope = scope_of(request.prefix, request.suffix, request.language, request.scope)
        if self._has_canvas and (request.mode == "fast" or request.max_tokens <= self.settings.longest_canvas):
            cache = cast("PrefixCache[DiffusionGemma]", self.cache)
            end = FillEnd(prompt, self.vocabulary, partial(scope.end, seam=where))  # the suffix is on the canvas
            settings = self._settings_for(request)
            on_canvas = CanvasSearch(cache, slot, prompt, self.vocabulary, settings, draws, end, reading)
            found, steps = yield from on_canvas.run(request.max_tokens)
            if request.mode == "fast":
                return Found(found, steps, steps)
            yield (so_far := self.vocabulary.text(useful(found, self.vocabulary, prompt)[0].tokens, prompt))
        end = FillEnd(prompt, self.vocabulary, partial(ends_at, scope, where))
        writing = WrittenSearch(
            self.model, slot, prompt, end, self.vocabulary, self.settings, draws, self.draft, self.learn
        )
        num_samples = self.settings.write.num_samples if request.mode == "best" else 0
        written, passes = yield from writing.run(request.max_tokens, num_samples, so_far)
        if on_canvas is not None and self.settings.scored_by == "canvas":
            yield so_far or ""
            written = on_canvas.score([one.tokens for one in written])
        both = sorted([*found, *written], key=lambda one: one.score, reverse=True)
        return Found(both, steps + passes, steps or passes)

    def _settings_for(self, request: InfillRequest) -> InfillSettings:
        """With as many fills kept as were asked for, and in best mode with all the time there is."""
        settings, wanted = self.settings, request.num_candidates
        search = settings.search
        if search is not None:
            search = msgspec.structs.replace(search, kept=max(wanted, search.kept), least=wanted)
        return msgspec.structs.replace(
            settings,
            num_finalists=max(wanted, settings.num_finalists),
            search=search,
            latency_ms=settings.latency_ms if request.mode == "fast" else None,
        )

    def _choice(
        self, judged: Sequence[Judged], prompt: Prompt, request: InfillRequest
    ) -> tuple[Choice, tuple[Other, ...]]:
        """What becomes of the best fill, and as many of the others as were asked for."""
        best, *rest = judged
        confidence = self.gate.confidence(best.features)
        shown = best.text != prompt.closing and self.gate.shows(confidence, request.eagerness)
        others = (Other(text=text, confidence=round(self.gate.confidence(known), 4)) for text, known in rest)
        worth_it = (other for other in others if self.gate.shows(other.confidence, "high"))
        return Choice(best.text, confidence, shown), tuple(islice(worth_it, request.num_candidates - 1))


def _silently(work: Generator[None, None, Ended]) -> Generator[str, None, Ended]:
    """What is done before there is a text so far: an empty one is yielded."""
    try:
        while True:
            next(work)
            yield ""
    except StopIteration as end:
        return end.value
    finally:
        work.close()
