"""Warm KV for every open document: a request pays only for the prompt tokens that changed."""

from collections import OrderedDict
from collections.abc import Generator, Sequence

import torch

from midfill.engine.common_prefix import common_prefix
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.kv import KVSlot


class PrefixCache:
    """One `KVSlot` a document key, least recently used first, within a budget of `max_bytes`.

    A slot handed out by `prefill` is in use until `release`: it is not evicted, and the document has no other decode.
    """

    def __init__(self, model: DiffusionGemma, max_bytes: int, chunk_tokens: int = 256) -> None:
        assert max_bytes >= 0
        assert chunk_tokens > 0
        self.model, self.max_bytes, self.chunk_tokens = model, max_bytes, chunk_tokens
        self._slots: OrderedDict[str, KVSlot] = OrderedDict()
        self._in_use: set[str] = set()

    @property
    def num_bytes(self) -> int:
        """Memory of all slots together."""
        return sum(slot.num_bytes for slot in self._slots.values())

    @property
    def documents(self) -> list[str]:
        """Keys of the documents that have a slot, least recently used first."""
        return list(self._slots)

    def cached_tokens(self, document: str, tokens: Sequence[int]) -> int:
        """How many of `tokens` a `prefill` of `document` would find cached."""
        slot = self._slots.get(document)
        return 0 if slot is None else _reusable(slot, tokens)

    def prefill(self, document: str, tokens: Sequence[int]) -> Generator[None, None, KVSlot]:
        """A generator that makes the slot of `document` hold exactly `tokens`, at least one, and returns it, in use.

        The longest cached prefix stays, the rest is encoded a chunk a `next()`. Closing it early keeps the chunks done.
        """
        assert tokens
        assert document not in self._in_use, "the document's older decode must be closed first"
        slot = self._slots.pop(document, None) or self._new_slot()
        self._slots[document] = slot
        self._in_use.add(document)
        try:
            slot.trim(_reusable(slot, tokens))
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
        self._in_use.discard(document)
        self._evict()

    def forget(self, document: str) -> None:
        """Frees the slot of a closed document."""
        assert document not in self._in_use
        self._slots.pop(document, None)

    @torch.inference_mode()
    def encode(self, slot: KVSlot, tokens: Sequence[int]) -> None:
        """Appends `tokens` to `slot`: one causal forward pass."""
        start = len(slot.tokens)
        slot.reserve(start + len(tokens))
        ids = torch.tensor([list(tokens)], device=slot.device)
        positions = torch.arange(start, start + len(tokens), device=slot.device)
        hidden = self.model.encode(ids, positions, slot.attend_and_store)
        slot.commit(tokens, hidden[0, -1].clone())  # a view would keep the whole chunk's output alive

    def _new_slot(self) -> KVSlot:
        weight = self.model.embed_tokens.weight
        return KVSlot(self.model.config, weight.device, weight.dtype)

    def _evict(self) -> None:
        """Drops documents that are not in use, oldest first, until the budget holds."""
        idle = [document for document in self._slots if document not in self._in_use]
        while idle and self.num_bytes > self.max_bytes:
            del self._slots[idle.pop(0)]


def _reusable(slot: KVSlot, tokens: Sequence[int]) -> int:
    """Tokens to keep: the common prefix, less the last token where its output is not known any more."""
    common = common_prefix(slot.tokens, tokens)
    has_output = common == len(slot.tokens) and slot.last_hidden is not None
    return common if has_output or common < len(tokens) else common - 1
