"""Several continuations of one cached prompt, all of one length, that grow by a token each a forward pass.

They are a tree whose nodes' keys and values lie behind the prompt's in one buffer a layer: a continuation that goes on
twice, or not at all, moves nothing. What a continuation sees of it is a mask.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.config import FULL, SLIDING
from midfill.engine.kv import KVSlot, attention

ROOM = 128
"""Nodes that there is room for at first, and by which it grows."""


class Branches:
    """Keys and values of B continuations of a slot's prompt, with a copy of what they see of the prompt.

    Begins as one continuation, of no tokens. The slot must not change as long as this is in use.
    """

    def __init__(self, model: CausalGemma, slot: KVSlot) -> None:
        self.model, self.slot = model, slot
        self.length = 0
        """Tokens of each continuation."""
        # In bfloat16, a CPU takes longer over so few queries.
        self._dtype = torch.float32 if slot.device.type == "cpu" else slot.dtype
        self._buffers: dict[int, Tensor] = {}
        """K and V of a layer: [2, KV heads, tokens, D]."""
        self._own = torch.zeros(1, 0, dtype=torch.bool, device=slot.device)
        """[B, nodes]: which each continuation is made of."""
        self._depths = torch.zeros(0, dtype=torch.long, device=slot.device)
        """Of each node: how many are before it."""
        self._masks: dict[str, Tensor] = {}

    def reorder(self, rows: Sequence[int]) -> None:
        """The continuations are now those at `rows`, in this order; one may stand there many times, or not at all."""
        self._own = self._own[torch.tensor(rows, dtype=torch.long, device=self.slot.device)]

    @torch.inference_mode()
    def append(self, tokens: Sequence[int]) -> Tensor:
        """Adds a token to each continuation: one causal pass; hidden states [B, hidden] at these tokens."""
        device = self.slot.device
        new = torch.eye(len(tokens), dtype=torch.bool, device=device)
        self._own = torch.cat((self._own, new), dim=1)
        self._depths = torch.cat((self._depths, torch.full((len(tokens),), self.length, device=device)))
        self._masks = {kind: self._mask(kind) for kind in (FULL, SLIDING)}
        ids = torch.tensor(tokens, device=device)[:, None]
        position = torch.tensor([len(self.slot.tokens) + self.length], device=device)
        hidden = self.model.encode(ids, position, self._attend)[:, 0]
        self.length += 1
        return hidden

    def _mask(self, kind: str) -> Tensor:
        """What is added to the scores of each continuation's new token: [B, prompt seen and nodes]."""
        seen, prompt = self._own, self._seen_prompt(kind)
        visible = torch.ones(prompt, dtype=torch.bool, device=seen.device)
        if kind == SLIDING:
            past, window = len(self.slot.tokens), self.slot.config.sliding_window
            first = past + self.length - window + 1  # the first place that the new tokens see
            visible = torch.arange(past - prompt, past, device=seen.device) >= first
            seen = seen & (past + self._depths >= first)
        hidden = ~torch.cat((visible.expand(len(seen), -1), seen), dim=1)
        return torch.zeros(hidden.shape, dtype=self._dtype, device=seen.device).masked_fill_(hidden, -torch.inf)

    def _seen_prompt(self, kind: str) -> int:
        """Tokens at the end of the prompt that some continuation sees."""
        past = len(self.slot.tokens)
        return past if kind == FULL else min(past, self.slot.config.sliding_window - 1)

    def _attend(self, index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of one new token a row, [B, H, 1, D], to the prompt and its own row; stores K and V."""
        kind = self.slot.config.layers[index].kind
        nodes = self._own.shape[1]
        end = self._seen_prompt(kind) + nodes
        buffer = self._buffer(index, end)
        buffer[0, :, end - len(k) : end] = k[:, :, 0].transpose(0, 1)
        buffer[1, :, end - len(v) : end] = v[:, :, 0].transpose(0, 1)
        keys, values = buffer[:, None, :, :end]
        found = attention(q.transpose(0, 2).to(self._dtype), keys, values, self._masks[kind])
        return found.transpose(0, 2).to(q.dtype)

    def _buffer(self, index: int, length: int) -> Tensor:
        """Layer `index`'s, with room for `length` tokens."""
        if index not in self._buffers:
            prompt = self._seen_prompt(self.slot.config.layers[index].kind)
            past = torch.stack((self.slot.keys(index), self.slot.values(index)))
            self._buffers[index] = past[:, :, past.shape[2] - prompt :].to(self._dtype)
        buffer = self._buffers[index]
        if buffer.shape[2] < length:
            room = buffer.new_empty(*buffer.shape[:2], ROOM + length - buffer.shape[2], buffer.shape[3])
            buffer = self._buffers[index] = torch.cat((buffer, room), dim=2)
        return buffer
