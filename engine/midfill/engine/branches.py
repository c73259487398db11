"""Several continuations of one cached prompt, all of one length, that grow by a token each a forward pass."""

from collections.abc import Sequence

import torch
from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.kv import KVSlot


class Branches:
    """Keys and values of B continuations of a slot's prompt; those of the prompt are read from the slot, once for all.

    Begins as one continuation, of no tokens. The slot must not change as long as this is in use.
    """

    def __init__(self, model: CausalGemma, slot: KVSlot) -> None:
        self.model, self.slot = model, slot
        self.length = 0
        """Tokens of each continuation."""
        self._prompt: dict[int, tuple[Tensor, Tensor]] = {}
        layers = slot.config.layers
        self._keys = [self._none(layer.num_kv_heads, layer.head_dim) for layer in layers]
        self._values = [self._none(layer.num_kv_heads, layer.head_dim) for layer in layers]

    def _none(self, num_kv_heads: int, head_dim: int) -> Tensor:
        return torch.empty(1, num_kv_heads, 0, head_dim, device=self.slot.device)

    def reorder(self, rows: Sequence[int]) -> None:
        """The continuations are now those at `rows`, in this order; one may stand there many times, or not at all."""
        index = torch.tensor(rows, dtype=torch.long, device=self.slot.device)
        self._keys = [keys[index] for keys in self._keys]
        self._values = [values[index] for values in self._values]

    @torch.inference_mode()
    def append(self, tokens: Sequence[int]) -> Tensor:
        """Adds a token to each continuation: one causal pass; hidden states [B, hidden] at these tokens."""
        ids = torch.tensor(tokens, device=self.slot.device)[:, None]
        position = torch.tensor([len(self.slot.tokens) + self.length], device=self.slot.device)
        hidden = self.model.encode(ids, position, self._attend)[:, 0]
        self.length += 1
        return hidden

    def _attend(self, index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of one new token a row, [B, H, 1, D], to the prompt and its own row; stores K and V.

        Against the prompt the queries of all rows and of the heads that share a KV head are one matrix.
        """
        # In bfloat16, oneDNN would compile and keep 0.6 MB of code for each new length of prompt: 0.7 GB in 200 fills.
        keys = self._keys[index] = torch.cat((self._keys[index], k.float()), dim=2)
        values = self._values[index] = torch.cat((self._values[index], v.float()), dim=2)
        past_k, past_v = self._past(index)
        if self.slot.config.layers[index].is_sliding:
            unseen = max(0, past_k.shape[1] + keys.shape[2] - self.slot.config.sliding_window)
            from_own = max(0, unseen - past_k.shape[1])
            past_k, past_v = past_k[:, unseen:], past_v[:, unseen:]
            keys, values = keys[:, :, from_own:], values[:, :, from_own:]
        own_q = q.float().unflatten(1, (keys.shape[1], -1)).squeeze(3)  # [B, KV heads, heads a KV head, D]
        folded = own_q.transpose(0, 1).flatten(1, 2)
        shape = (len(past_k), *own_q.shape[::2], -1)  # [KV heads, B, heads a KV head, …]
        to_past = (folded @ past_k.transpose(1, 2)).view(shape).transpose(0, 1)
        scores = torch.cat((to_past, own_q @ keys.transpose(2, 3)), dim=-1)
        on_past, on_own = scores.softmax(dim=-1).split((past_k.shape[1], keys.shape[2]), dim=-1)
        from_past = (on_past.transpose(0, 1).flatten(1, 2) @ past_v).view(shape).transpose(0, 1)
        return (from_past + on_own @ values).flatten(1, 2).unsqueeze(2).to(q.dtype)

    def _past(self, index: int) -> tuple[Tensor, Tensor]:
        """K and V of the prompt, [KV heads, tokens, D] float32 each. On a CPU they are kept for the next token."""
        if index in self._prompt:
            return self._prompt[index]
        past = self.slot.keys(index).float(), self.slot.values(index).float()
        if self.slot.device.type == "cpu":
            self._prompt[index] = past
        return past
