"""Warm KV for every open document: a request pays only for the prompt tokens that changed."""

from collections.abc import Generator, Sequence
from typing import Generic, NamedTuple, TypeVar

import torch

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.common_prefix import common_prefix
from midfill.engine.kv import KVSlot
from midfill.engine.passes import read

PLACES = 4
"""Slots a document: people go to and fro in it, and one place's suffix-first prompt is of no use at another.

Prompt tokens found cached in 2,000 edits of four recordings: 97.4, 78.8, 97.6 and 84.5 % with one slot, 97.7, 90.7,
98.4 and 86.8 % with four.
"""


Model = TypeVar("Model", bound=CausalGemma)


class Place(NamedTuple):
    """The slot of one place in a document."""

    document: str
    slot: KVSlot


class PrefixCache(Generic[Model]):
    """Up to `PLACES` `KVSlot`s a document key, within a budget of `max_bytes`.

    A prompt that has less than half of its tokens in common with a slot begins a place of its own.
    A slot handed out by `prefill` is in use until `release`: it is not evicted, and the document has no other decode.
    """

    def __init__(self, model: Model, max_bytes: int, chunk_tokens: int = 256) -> None:
        assert max_bytes >= 0
        assert chunk_tokens > 0
        self.model, self.max_bytes, self.chunk_tokens = model, max_bytes, chunk_tokens
        self._places: list[Place] = []  # least recently used first
        self._in_use: dict[str, KVSlot] = {}

    @property
    def num_bytes(self) -> int:
        """Memory of all slots together."""
        return sum(place.slot.num_bytes for place in self._places)

    @property
    def documents(self) -> list[str]:
        """Keys of the documents that have a slot, least recently used first."""
        return list(dict.fromkeys(place.document for place in reversed(self._places)))[::-1]

    def slots(self, document: str) -> list[KVSlot]:
        """Those of a document, least recently used first."""
        return [place.slot for place in self._places if place.document == document]

    def cached_tokens(self, document: str, tokens: Sequence[int]) -> int:
        """How many of `tokens` a `prefill` of `document` would find cached."""
        return max((_reusable(slot, tokens) for slot in self.slots(document)), default=0)

    def prefill(self, document: str, tokens: Sequence[int]) -> Generator[None, None, KVSlot]:
        """A generator that makes a slot of `document` hold exactly `tokens`, at least one, and returns it, in use.

        The longest cached prefix stays, the rest is encoded a chunk a `next()`. Closing it early keeps the chunks done.
        """
        assert tokens
        assert document not in self._in_use, "the document's older decode must be closed first"
        slot = self._take(document, tokens)
        self._in_use[document] = slot
        try:
            slot.reserve(len(tokens))
            self._evict()
            while len(slot.tokens) < len(tokens):
                self.encode(slot, tokens[len(slot.tokens) : len(slot.tokens) + self.chunk_tokens])
                yield
        except BaseException:
            self.release(document)
            raise
        return slot

    def release(self, document: str) -> None:
        """Ends the use of a slot; it may be evicted from now on."""
        self._in_use.pop(document, None)
        self._evict()

    def forget(self, document: str) -> None:
        """Frees all slots of a closed document."""
        assert document not in self._in_use
        self._places = [place for place in self._places if place.document != document]

    @torch.inference_mode()
    def encode(self, slot: KVSlot, tokens: Sequence[int]) -> None:
        """Appends `tokens` to `slot`: one causal forward pass."""
        hidden = read(self.model, slot, tokens)
        slot.commit(tokens, hidden[-1].clone())  # a view would keep the whole chunk's output alive

    def _take(self, document: str, tokens: Sequence[int]) -> KVSlot:
        """The slot for `tokens`, now the last used one, that holds the longest cached prefix of them and no more."""
        slots = self.slots(document) or [self._new_slot()]
        best = max(slots, key=lambda slot: _reusable(slot, tokens))
        kept = _reusable(best, tokens)
        slot = best
        # Of the shorter: a place whose prefill was closed after its first chunk is gone on with, not begun again.
        if 2 * kept < min(len(best.tokens), len(tokens)):
            slot = self._new_slot() if len(slots) < PLACES else slots[0]
        if slot is not best:
            slot.copy(best, kept)
        slot.trim(kept)
        self._places = [place for place in self._places if place.slot is not slot]
        self._places.append(Place(document, slot))
        return slot

    def _new_slot(self) -> KVSlot:
        return KVSlot(self.model.config, self.model.embed_tokens.weight.device, self.model.kv_dtype)

    def drop_idle(self) -> None:
        """Drops all slots that are not in use."""
        for place in self._idle():
            self._places.remove(place)

    def _evict(self) -> None:
        """Drops slots that are not in use, least recently used first, until the budget holds."""
        idle = self._idle()
        while idle and self.num_bytes > self.max_bytes:
            self._places.remove(idle.pop(0))

    def _idle(self) -> list[Place]:
        return [place for place in self._places if self._in_use.get(place.document) is not place.slot]


def _reusable(slot: KVSlot, tokens: Sequence[int]) -> int:
    """Tokens to keep: the common prefix, less the last token where its output is not known any more."""
    common = common_prefix(slot.tokens, tokens)
    has_output = common == len(slot.tokens) and slot.last_hidden is not None
    return common if has_output or common < len(tokens) else common - 1
