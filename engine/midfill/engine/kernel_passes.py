"""A model's forward passes on kernels: the same weights and, but for rounding, the same numbers.

A layer with experts is 15 launches, and nothing waits for the host: a pass can be captured as a CUDA graph. Which
document it reads is in `KernelPasses.past`, in device memory.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.config import FULL, SLIDING
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.graphs import GraphPool
from midfill.engine.kv import KVSlot
from midfill.engine.packed_layers import pack, stack_gates
from midfill.engine.packed_pass import SideStream, product, run_packed
from midfill.kernels.attention import Past, addresses_of, attend, splits_of
from midfill.kernels.gelu import gelu_mul
from midfill.kernels.qkv import qkv_norm_rope
from midfill.kernels.rms_norm import rms_norm
from midfill.kernels.store import store

MOST_GRAPHED = 8
"""Tokens of a pass that is a graph, as texts are written; longer ones keep the card busy while the host starts them."""
TABLE_COLUMNS = 4
"""Three are used; so each row begins at a multiple of 16 bytes, and Triton makes one kernel, not two."""


class PastTable:
    """Where a slot's K and V stand, and how many tokens it has: in device memory, so one graph serves every slot."""

    def __init__(self, num_layers: int, device: torch.device) -> None:
        self.table = torch.zeros(num_layers + 1, TABLE_COLUMNS, dtype=torch.int64, device=device)
        self.length = self.table[-1, :1]
        self.layers = [Past(self.table[index, :3], self.length) for index in range(num_layers)]
        self._written: list[tuple[int, int, int, int]] = []
        """What the table holds, of which this is the only writer."""

    def point_at(self, slot: KVSlot) -> None:
        """Passes from now on read `slot`, as it is now. Between the steps of one decode there is nothing to write."""
        wanted = [*((*addresses_of(*kv), 0) for kv in slot.buffers()), (len(slot.tokens), 0, 0, 0)]
        if wanted != self._written:
            self.table.copy_(torch.tensor(wanted))
            self._written = wanted


class OwnKV(NamedTuple):
    """Room for K and V of one pass's tokens, for each kind of layer together: [places, 2, B, KV heads, T, D]."""

    kinds: dict[str, Tensor]
    places: list[tuple[str, int]]
    """Of each layer of the model: its kind, and its place there."""

    def of_layer(self, index: int) -> tuple[Tensor, Tensor]:
        """K and V of layer `index`, [B, KV heads, T, D] each."""
        kind, place = self.places[index]
        return self.kinds[kind][place, 0], self.kinds[kind][place, 1]


class GraphedRead(NamedTuple):
    """A pass over so many tokens as a graph."""

    ids: Tensor
    """[1, T] int64, to be written before `run`."""
    hidden: Tensor
    """[T, hidden], of the last run."""
    run: Callable[[], None]


class KernelPasses:
    """`passes.Passes` of `model`, whose projections it packs."""

    def __init__(self, model: CausalGemma, graphs: GraphPool | None = None) -> None:
        self.model, self.config, self.graphs = model, model.config, graphs
        self.weight = model.embed_tokens.weight
        self.past = PastTable(len(self.config.layers), self.weight.device)
        self.layers = [pack(layer, shape) for layer, shape in zip(model.layers, self.config.layers, strict=True)]
        self._rows = {
            kind: torch.tensor(of_kind, device=self.weight.device)
            for kind in (SLIDING, FULL)
            if (of_kind := [index for index, layer in enumerate(self.config.layers) if layer.kind == kind])
        }
        kinds = [layer.kind for layer in self.config.layers]
        self._places = [(kind, kinds[:index].count(kind)) for index, kind in enumerate(kinds)]
        mixes = isinstance(model, DiffusionGemma)
        self._mix_gates = stack_gates(model.self_conditioning) if mixes else None
        self._reads: dict[int, GraphedRead] = {}
        self._side = SideStream(self.weight.device) if self.weight.is_cuda else None

    @torch.inference_mode()
    def read(self, slot: KVSlot, tokens: Sequence[int]) -> Tensor:
        """`passes.read`; the slot has room for `tokens`."""
        self.past.point_at(slot)
        ids = torch.tensor([list(tokens)])
        if self.graphs is None or len(tokens) > MOST_GRAPHED:
            return self._read_and_store(ids.to(self.weight.device))
        if len(tokens) not in self._reads:
            self._reads[len(tokens)] = self._graphed(self.graphs, len(tokens))
        graphed = self._reads[len(tokens)]
        graphed.ids.copy_(ids)
        graphed.run()
        return graphed.hidden.clone()

    def warm_up(self, num_tokens: int) -> None:
        """Makes what `read` needs for so many tokens."""
        slot = KVSlot(self.config, self.weight.device, self.weight.dtype)
        slot.reserve(num_tokens)
        self.read(slot, [0] * num_tokens)

    def _graphed(self, graphs: GraphPool, num_tokens: int) -> GraphedRead:
        """A graph for so many tokens. Its first runs write where the replay then does."""
        ids = torch.zeros(1, num_tokens, dtype=torch.int64, device=self.weight.device)
        hidden = torch.empty(num_tokens, self.config.hidden_size, dtype=self.weight.dtype, device=self.weight.device)
        return GraphedRead(ids, hidden, graphs.capture(lambda: hidden.copy_(self._read_and_store(ids))))

    def _read_and_store(self, ids: Tensor) -> Tensor:
        """Hidden states [T, hidden] of ids [1, T] behind the slot that `past` points at, K and V stored behind it."""
        own = self._kv_of_all_layers(ids.shape)
        hidden = self._causal(ids, own)
        for kind, kv in own.kinds.items():
            store(kv[:, :, 0], self.past.table, self._rows[kind], self.past.length)
        return hidden[0]

    @torch.inference_mode()
    def read_rows(self, slot: KVSlot, ids: Tensor) -> Tensor:
        """`passes.read_rows`."""
        self.past.point_at(slot)
        return self._causal(ids, self._kv_of_one_layer(ids.shape))

    @torch.inference_mode()
    def denoise(self, slot: KVSlot, canvas: Tensor, soft: Tensor | None) -> Tensor:
        """`passes.denoise`."""
        self.past.point_at(slot)
        return self.denoise_pointed(canvas, soft)

    def denoise_pointed(self, canvas: Tensor, soft: Tensor | None) -> Tensor:
        """The same behind the slot that `past` points at: nothing here needs the host."""
        scalars = [layer.get_buffer("layer_scalar") for layer in self.model.layers]
        own = self._kv_of_one_layer(canvas.shape)
        return self._run(self._mixed(canvas, soft), canvas.shape, scalars, own, causal=False)

    def _causal(self, ids: Tensor, own: OwnKV) -> Tensor:
        return self._run(self._embedded(ids), ids.shape, self.model.causal_scalars(), own, causal=True)

    def _embedded(self, ids: Tensor) -> Tensor:
        """Ids [B, T] -> [B * T, hidden]."""
        return self.model.embed(ids).flatten(0, 1)

    def _mixed(self, canvas: Tensor, soft: Tensor | None) -> Tensor:
        """`SelfConditioning.mix`, [B * C, hidden]."""
        assert isinstance(self.model, DiffusionGemma)
        assert self._mix_gates is not None
        mlp, eps = self.model.self_conditioning, self.config.rms_norm_eps
        embedded = self._embedded(canvas)
        if soft is not None:
            normed = rms_norm(soft.flatten(0, 1), mlp.pre_norm.weight, eps)
            embedded = embedded + product(gelu_mul(product(normed, self._mix_gates)), mlp.down_proj.weight)
        return rms_norm(embedded, None, eps)

    def _run(self, x: Tensor, shape: torch.Size, scalars: Sequence[Tensor], own: OwnKV, causal: bool) -> Tensor:
        """All layers and the final norm: x [B * T, hidden] -> [B, T, hidden], K and V of these tokens into `own`."""
        eps = self.config.rms_norm_eps

        def attend_here(index: int, projected: Tensor) -> Tensor:
            layer, past = self.layers[index], self.past.layers[index]
            k, v = own.of_layer(index)
            norms, heads = (layer.q_norm, layer.k_norm), layer.shape.num_heads
            q = qkv_norm_rope(projected, *norms, layer.frequencies, past.length, k, v, heads, eps)
            window = self.config.sliding_window if layer.shape.is_sliding else None
            splits = splits_of(q, layer.shape.num_kv_heads, window, self.config.max_position_embeddings)
            return attend(q, k, v, past, window, causal, splits)

        return run_packed(self.layers, self.model.norm.weight, x, shape, scalars, attend_here, eps, self._side)

    def _kv_of_all_layers(self, shape: torch.Size) -> OwnKV:
        """For a pass over tokens [B, T] whose K and V are stored."""
        return OwnKV({kind: self._kv(kind, len(rows), shape) for kind, rows in self._rows.items()}, self._places)

    def _kv_of_one_layer(self, shape: torch.Size) -> OwnKV:
        """For a pass of whose K and V nothing is kept: each layer writes over those of the one before.

        All layers' of 2,048 canvas positions of 26B-A4B would be 461 MB.
        """
        return OwnKV({kind: self._kv(kind, 1, shape) for kind in self._rows}, [(kind, 0) for kind, _ in self._places])

    def _kv(self, kind: str, num_layers: int, shape: torch.Size) -> Tensor:
        layer = next(layer for layer in self.config.layers if layer.kind == kind)
        sizes = num_layers, 2, shape[0], layer.num_kv_heads, shape[1], layer.head_dim
        return torch.empty(sizes, device=self.weight.device, dtype=self.weight.dtype)
