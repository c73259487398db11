"""The KV memory of one open document, and the ways in which the model attends to it.

Sliding layers keep their whole prefix: an edit moves backwards, and a ring cannot be trimmed past its window. They
see the last `sliding_window` - 1 tokens of it only.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from midfill.engine.config import TextConfig

GROWTH = 256
"""Buffers grow by this many tokens at least."""


class KVSlot:
    """K and V of the first `len(tokens)` tokens of a prompt, for all layers: [KV heads, capacity, D] each.

    Layers that share K and V have them once.
    """

    def __init__(self, config: TextConfig, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        self.tokens: list[int] = []
        self.last_hidden: Tensor | None = None
        """[hidden] the model's output at the last token; None once tokens were trimmed."""
        self.capacity = 0
        self.owner: object | None = None
        """Whose K and V lie behind the tokens, though they do not count; None where that is nobody's any more."""
        self.claimed = 0
        """How many positions there are the owner's."""
        self._keys = [self._empty(index, 0) for index in range(config.num_kv_layers)]
        self._values = [self._empty(index, 0) for index in range(config.num_kv_layers)]

    def _empty(self, index: int, capacity: int) -> Tensor:
        layer = self.config.layers[index]
        return torch.empty(layer.num_kv_heads, capacity, layer.head_dim, device=self.device, dtype=self.dtype)

    @property
    def num_bytes(self) -> int:
        """Memory held, spare capacity included."""
        return self.capacity * self.config.kv_values_per_token * self.dtype.itemsize

    def keys(self, index: int) -> Tensor:
        """Cached keys that layer `index` attends to: [KV heads, tokens, D]."""
        return self._keys[self.config.kv_layer(index)][:, : len(self.tokens)]

    def values(self, index: int) -> Tensor:
        """Cached values that layer `index` attends to: [KV heads, tokens, D]."""
        return self._values[self.config.kv_layer(index)][:, : len(self.tokens)]

    def buffers(self) -> list[tuple[Tensor, Tensor]]:
        """K and V [KV heads, capacity, D] of each layer that has its own; others once room is made for more tokens."""
        return list(zip(self._keys, self._values, strict=True))

    def trim(self, length: int) -> None:
        """Forgets all but the first `length` tokens; keeps the memory for the tokens that will follow."""
        assert 0 <= length <= len(self.tokens)
        if length < len(self.tokens):
            del self.tokens[length:]
            self.last_hidden = None
            self.claim(None, 0)

    @torch.inference_mode()  # which its buffers may have been made in
    def copy(self, other: "KVSlot", length: int) -> None:
        """Holds the first `length` tokens of `other` in place of its own, in memory of its own."""
        assert 0 <= length <= len(other.tokens)
        self.trim(0)
        self.reserve(length)
        for mine, theirs in zip(self._keys + self._values, other._keys + other._values, strict=True):
            mine[:, :length] = theirs[:, :length]
        self.tokens, self.last_hidden = other.tokens[:length], None

    def reserve(self, length: int) -> None:
        """Makes room for `length` tokens in all."""
        if length <= self.capacity:
            return
        capacity = max(length, self.capacity + GROWTH)
        for buffers in (self._keys, self._values):
            for index, old in enumerate(buffers):
                fresh = self._empty(index, capacity)
                fresh[:, : self.capacity] = old[:, : self.capacity]  # what waits behind the tokens, too
                buffers[index] = fresh
        self.capacity = capacity

    def claim(self, owner: object | None, count: int) -> None:
        """Notes that the first `count` positions behind the tokens are `owner`'s, and nobody else's any more."""
        self.owner, self.claimed = owner, count

    def move(self, places: Sequence[int], start: int) -> None:
        """K and V at `places`, those behind the tokens, come to lie from `start` on, where there is room."""
        for buffer in self._keys + self._values:
            buffer[:, start : start + len(places)] = buffer[:, places]

    def store(self, index: int, k: Tensor, v: Tensor, after: int = 0) -> None:
        """Writes K and V [1, KV heads, T, D] of tokens that come next, but for `after` others.

        There has to be room; `commit` makes them count. A layer that shares another's has nothing to write.
        """
        if index >= self.config.num_kv_layers:
            return
        start = len(self.tokens) + after
        self._keys[index][:, start : start + k.shape[2]] = k[0]
        self._values[index][:, start : start + v.shape[2]] = v[0]

    def commit(self, tokens: Sequence[int], last_hidden: Tensor) -> None:
        """Counts `tokens` as cached, all layers having stored them; `last_hidden` is the output at the last."""
        assert len(self.tokens) + len(tokens) <= self.capacity
        self.tokens.extend(tokens)
        self.last_hidden = last_hidden
        self.claim(None, 0)

    def attend_causal(self, index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention of T tokens that follow the first `len(tokens)`, [B, H, T, D], and nothing is stored.

        Each of the B rows continues the cached prompt on its own.
        """
        layer = self.config.layers[index]
        past_k, past_v = self._past(index, q.shape[0])
        past, new = past_k.shape[2], q.shape[2]
        mask = torch.ones(new, past + new, dtype=torch.bool, device=q.device).tril(past)
        if layer.is_sliding:
            mask = mask.triu(past - self.config.sliding_window + 1)
        return attention(q, torch.cat((past_k, k), dim=2), torch.cat((past_v, v), dim=2), mask)

    def attend_canvas(self, index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of B canvases [B, H, C, D], each to itself and to the cached prompt; nothing is stored.

        On sliding layers every canvas row sees the same last window - 1 prompt tokens, as in transformers.
        """
        past_k, past_v = self._past(index, q.shape[0])
        return attention(q, torch.cat((past_k, k), dim=2), torch.cat((past_v, v), dim=2), None)

    def attend_behind(self, index: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, after: int = 0) -> Tensor:
        """Attention of N tokens, [1, H, N, D], that `store` puts `after` others, as none is to be committed.

        `mask` [N, seen] is added to the scores of the last tokens up to them.
        """
        self.store(index, k, v, after)
        end = len(self.tokens) + after + q.shape[2]
        place = self.config.kv_layer(index)
        keys, values = (each[place][None, :, end - mask.shape[1] : end] for each in (self._keys, self._values))
        return attention(q, keys, values, mask)

    def attend_cached(self, index: int, q: Tensor, seen: int) -> Tensor:
        """Attention of q [1, H, T, D], of any dtype, to the last `seen` cached tokens of layer `index`, or to all."""
        first = max(0, len(self.tokens) - seen)
        keys, values = self.keys(index)[None, :, first:], self.values(index)[None, :, first:]
        return attention(q.to(self.dtype), keys, values, None).to(q.dtype)

    def attend_and_store(self, index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """`attend_causal` of one row whose K and V stay in the slot."""
        output = self.attend_causal(index, q, k, v)
        self.store(index, k, v)
        return output

    def _past(self, index: int, rows: int) -> tuple[Tensor, Tensor]:
        """What `rows` rows see of the prompt on layer `index`: K and V [rows, KV heads, seen, D], without a copy."""
        seen = self.config.sliding_window - 1 if self.config.layers[index].is_sliding else len(self.tokens)
        first = max(0, len(self.tokens) - seen)
        past_k, past_v = self.keys(index)[:, first:], self.values(index)[:, first:]
        return past_k.expand(rows, -1, -1, -1), past_v.expand(rows, -1, -1, -1)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0, enable_gqa=True)
