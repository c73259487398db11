"""Drafts on kernels: all drafts of a round in one CUDA graph, each fed to the next on the device.

The host is waited for once a round, not once a draft. A draft of four layers is about 50 launches where its definition
is about 125. Bytes moved a draft: the drafter's weights, 840 MB for 26B-A4B in bfloat16, of which 537 MB are its
head, and the target's K and V in its last sliding and its last full layer.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.drafter import Drafter
from midfill.engine.kernel_passes import KernelPasses
from midfill.engine.kv import KVSlot
from midfill.engine.packed_layers import pack
from midfill.engine.packed_pass import product, run_packed
from midfill.engine.passes import read
from midfill.kernels.attention import attend, splits_of
from midfill.kernels.qkv import qkv_norm_rope

ONE_TOKEN = torch.Size((1, 1))
"""[B, T] of a draft."""


class GraphedDrafts(NamedTuple):
    """So many drafts of a round as a graph, where there are graphs."""

    drafts: Tensor
    """[count] int64, of the last run."""
    run: Callable[[], object]


class KernelDrafter:
    """`drafter.Drafts` of `drafter`, whose projections it packs, for a target that has kernels."""

    def __init__(self, drafter: Drafter, target: CausalGemma) -> None:
        passes = target.kernels
        assert isinstance(passes, KernelPasses)
        self.drafter, self.target, self.passes, self.config = drafter, target, passes, drafter.config
        model = drafter.model
        self.layers = [pack(layer, shape) for layer, shape in zip(model.layers, self.config.layers, strict=True)]
        # What the target's layers have cached, of whatever slot its passes were pointed at last.
        self.pasts = [passes.past.layers[target.config.last_kv_layer(layer.kind)] for layer in self.config.layers]
        weight = passes.weight
        self._token = torch.zeros(1, dtype=torch.int64, device=weight.device)
        self._hidden = torch.zeros(1, self.config.backbone_hidden_size, dtype=weight.dtype, device=weight.device)
        self._drafts: dict[int, GraphedDrafts] = {}

    @torch.inference_mode()
    def draft(self, slot: KVSlot, token: int, count: int) -> list[int]:
        """`Drafter.draft`."""
        assert slot.last_hidden is not None
        if not count:
            return []
        self.passes.past.point_at(slot)
        self._token.fill_(token)
        self._hidden.copy_(slot.last_hidden)
        if count not in self._drafts:
            self._drafts[count] = self._graphed(count)
        self._drafts[count].run()
        return self._drafts[count].drafts.tolist()

    @torch.inference_mode()
    def warm_up(self, count: int) -> None:
        """Makes what `draft` needs for so many drafts."""
        slot = KVSlot(self.target.config, self._hidden.device, self._hidden.dtype)
        slot.commit([0], read(self.target, slot, [0])[0])
        self.draft(slot, 0, count)

    def _graphed(self, count: int) -> GraphedDrafts:
        drafts = torch.zeros(count, dtype=torch.int64, device=self._token.device)
        work, graphs = partial(self._work, drafts), self.passes.graphs
        return GraphedDrafts(drafts, work if graphs is None else graphs.capture(work))

    def _work(self, drafts: Tensor) -> None:
        """Fills `drafts` [count], one after the other: nothing here needs the host."""
        token, hidden = self._token, self._hidden
        for place in range(len(drafts)):
            logits, hidden = self._step(token, hidden)
            torch.argmax(logits, dim=0, out=drafts[place])
            token = drafts[place : place + 1]

    def _step(self, token: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """`Drafter.step`: token [1] and hidden [1, backbone hidden] -> logits [V] and the next hidden."""
        drafter, eps = self.drafter, self.config.rms_norm_eps
        x = product(torch.cat((self.target.embed(token), hidden), dim=1), drafter.pre_projection.weight)
        norm, scalars = drafter.model.norm.weight, drafter.model.causal_scalars()
        x = run_packed(self.layers, norm, x, ONE_TOKEN, scalars, self._attend, eps)[0]
        return drafter.logits(x[0]), product(x, drafter.post_projection.weight)

    def _attend(self, index: int, projected: Tensor) -> Tensor:
        """`packed_pass.AttendPacked`: Q [1, 1, heads * D] to what the target has cached."""
        layer, past, shape = self.layers[index], self.pasts[index], self.config.layers[index]
        none = projected.new_empty(1, 0, 1, shape.head_dim)
        norms, eps = (layer.q_norm, layer.k_norm), self.config.rms_norm_eps
        # Behind the past, wherever in the round this is: see `Drafter.step`.
        q = qkv_norm_rope(projected, *norms, layer.frequencies, past.length, none, none, shape.num_heads, eps)
        own = projected.new_empty(1, shape.num_kv_heads, 0, shape.head_dim)
        # The last `sliding_window` + 1 cached keys, as a window has one less of them than it is long.
        window = self.config.sliding_window + 2 if shape.is_sliding else None
        splits = splits_of(q, shape.num_kv_heads, window, self.target.config.max_position_embeddings)
        return attend(q, own, own, past, window, False, splits)
