"""Keys and values of continuations of one cached prompt: a tree that grows by any nodes a forward pass.

They lie behind the prompt's, in the room that its slot has: to go on from a node twice, or not at all, moves nothing.
What a node sees of them is a mask.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.config import FULL, SLIDING
from midfill.engine.kv import KVSlot


class TreeKV:
    """K and V of a tree's nodes, each a token, numbered from 0 as they are added.

    As long as this is in use, nothing else may be read into the slot, nor behind it but what keeps clear of the nodes.
    """

    def __init__(self, model: CausalGemma, slot: KVSlot) -> None:
        self.model, self.slot = model, slot
        self.lineages: list[list[int]] = []
        """Of each node, those on its path, from the prompt on, itself the last."""
        self._past = len(slot.tokens)
        slot.claim(None, 0)

    @torch.inference_mode()
    def grow(self, parents: Sequence[int | None], tokens: Sequence[int]) -> Tensor:
        """Adds nodes: one causal pass; hidden states [N, hidden] at them.

        `parents` are the nodes before each, which may be new, too, but come earlier; None behind the prompt.
        """
        first, past = len(self.lineages), len(self.slot.tokens)
        assert past == self._past, "the slot has changed"
        self.slot.claim(None, 0)
        for node, parent in enumerate(parents, start=first):
            self.lineages.append([node] if parent is None else [*self.lineages[parent], node])
        depths = [len(path) - 1 for path in self.lineages]
        masks = self._masks(self.lineages[first:], depths)
        self.slot.reserve(past + len(depths))

        def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return self.slot.attend_behind(index, q, k, v, masks[self.slot.config.layers[index].kind], first)

        ids = torch.tensor([tokens], device=self.slot.device)
        return self.model.encode(ids, past + torch.tensor([depths[first:]], device=self.slot.device), attend)[0]

    @torch.inference_mode()
    def descend(self, path: Sequence[int], tokens: Sequence[int], last_hidden: Tensor, kept: Sequence[int]) -> None:
        """Makes the nodes of a path from the prompt, which are `tokens`, the prompt's last; no pass.

        `last_hidden` is the output at the last of them. Of the others those `kept` stay, all of them below the path and
        with all that are between: they are renumbered in that order.
        """
        self.slot.move([self._past + node for node in (*path, *kept)], self._past)
        if path:
            self.slot.commit(tokens, last_hidden)
        number = {node: place for place, node in enumerate(kept)}
        self.lineages = [[number[above] for above in self.lineages[node][len(path) :]] for node in kept]
        self._past += len(path)

    def _masks(self, paths: Sequence[Sequence[int]], depths: Sequence[int]) -> dict[str, Tensor]:
        """What is added to the scores of new nodes: [N, prompt seen and all nodes], for each kind of layer."""
        slot, past, window = self.slot, len(self.slot.tokens), self.slot.config.sliding_window
        full = torch.full((len(paths), past + len(depths)), -torch.inf, dtype=slot.dtype, device=slot.device)
        full[:, :past] = 0
        rows = [row for row, path in enumerate(paths) for _ in path]
        full[rows, [past + node for path in paths for node in path]] = 0
        if past + max(depths) < window:
            return {FULL: full, SLIDING: full}
        seen = max(0, past - window + 1)  # the first place of the prompt that some node sees
        places = torch.tensor([*range(seen, past), *(past + depth for depth in depths)], device=slot.device)
        firsts = torch.tensor([past + len(path) - window for path in paths], device=slot.device)
        return {FULL: full, SLIDING: full[:, seen:].masked_fill(places < firsts[:, None], -torch.inf)}
