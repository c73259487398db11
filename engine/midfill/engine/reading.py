"""What a model has read behind one cached prompt, kept from one fill to the next.

While a word is typed the prompt stays as it is, for its last piece of a word is left to the fill; and a token that has
become whole is mostly one that a start of a fill began with. So most of what the next key asks was read for the last.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from midfill.engine.canvas import FirstStep
from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.kv import KVSlot
from midfill.engine.prompt import Prompt
from midfill.engine.recall import Recall
from midfill.engine.tree_kv import TreeKV

Step = tuple[int | None, int]
"""A node, or None for the prompt, and a token that follows it."""
ROOM = 256
"""Nodes whose log-probabilities there is room for at first, and by which it grows: 8 MB of the embedded model's."""
MOST_KEPT = 256
"""Nodes that a fill takes over from the last: each lies in the way of what is read later."""


class Reading:
    """A tree of the starts that the causal mode has read behind the prompt of a slot, and what it says follows each.

    What is read into the slot by others, or behind it where this has claimed it, ends its use.
    """

    def __init__(
        self,
        model: CausalGemma,
        slot: KVSlot,
        recall: Recall | None = None,
        elsewhere: Sequence[Sequence[int]] = (),
    ) -> None:
        """`recall` is of the slot's prompt and what is `elsewhere`, new, and mixed into what the model says."""
        assert slot.last_hidden is not None
        self.model, self.slot, self.recall = model, slot, recall
        self.first_step = FirstStep()
        """The canvas mode's, behind the same prompt."""
        self._elsewhere, self._owner = elsewhere, object()
        self._kv = TreeKV(model, slot)
        self._nodes = dict[Step, int]()
        hidden = slot.last_hidden[None]
        self._hidden, self._follow = hidden[:0], torch.empty(0, model.config.vocab_size, device=slot.device)
        self._keep(hidden)
        slot.claim(self._owner, 0)

    @property
    def num_nodes(self) -> int:
        """How many were read."""
        return len(self._nodes)

    @property
    def is_whole(self) -> bool:
        """Whether all that was read is still there: not, once something else came into its place."""
        return self.slot.owner is self._owner

    def place(self, step: Step, new: dict[Step, int]) -> int:
        """The node of `step`; where it was not read yet, the one that it becomes, and that is put into `new`."""
        node = self._nodes.get(step)
        return new.setdefault(step, len(self._nodes) + len(new)) if node is None else node

    def read(self, new: dict[Step, int]) -> None:
        """Adds the steps that were put into `new`, at least one: a causal pass."""
        assert self.is_whole, "the slot was used otherwise"
        assert list(new.values()) == list(range(self.num_nodes, self.num_nodes + len(new)))
        self._nodes.update(new)
        if self.recall is not None:
            for parent, token in new:
                self.recall.add(_row(parent), token)
        self._keep(self._kv.grow([parent for parent, _ in new], [token for _, token in new]))
        self.slot.claim(self._owner, self.num_nodes)  # only now: what an error interrupts is not whole

    def follow(self, nodes: Sequence[int | None]) -> Tensor:
        """Log-probabilities of what follows each node, [N, V] float32: a view, where that can be, not to be written to.

        None stands for the prompt.
        """
        rows = [_row(node) for node in nodes]
        first, end = rows[0], rows[0] + len(rows)
        return self._follow[first:end] if rows == list(range(first, end)) else self._follow[rows]

    def of_steps(self, steps: Sequence[Step]) -> list[float]:
        """The log-probability of each token after its parent, which was read."""
        rows = [_row(parent) for parent, _ in steps]
        return self._follow[rows, [token for _, token in steps]].tolist()

    def go_on(self, prompt: Prompt, banned_first: Tensor | None) -> bool:
        """Makes it that of `prompt`, if that is the same, or longer by tokens that were read; whether it is.

        If so, the slot holds that prompt. It cannot be, once something else was read into the slot. Of more than
        `MOST_KEPT` nodes only those stay that begin with no token of `banned_first` [V] bool; of more than that none.
        """
        if not self.is_whole:
            return False
        tokens = self.slot.tokens
        fresh = prompt.tokens[len(tokens) :]
        path = self._path(fresh)
        if path is None or prompt.tokens[: len(tokens)] != tokens or prompt.elsewhere != self._elsewhere:
            return False
        depth = len(path)
        kept = [node for node, above in enumerate(self._kv.lineages) if above[:depth] == path and len(above) > depth]
        if len(kept) > MOST_KEPT and banned_first is not None:
            kept = self._beginning_with(~banned_first, kept, depth)
        if len(kept) > MOST_KEPT:
            kept = []
        if len(kept) < self.num_nodes:
            self._descend(path, fresh, kept)
        return True

    def _path(self, tokens: Sequence[int]) -> list[int] | None:
        """The nodes of a start of a fill, None if it was not read."""
        path = list[int]()
        for token in tokens:
            node = self._nodes.get((path[-1] if path else None, token))
            if node is None:
                return None
            path.append(node)
        return path

    def _beginning_with(self, allowed: Tensor, nodes: Sequence[int], depth: int) -> list[int]:
        """Those whose token after the first `depth` is one of `allowed` [V] bool."""
        tokens = torch.tensor([token for _, token in self._nodes], device=allowed.device)
        is_allowed = allowed[tokens].tolist()
        return [node for node in nodes if is_allowed[self._kv.lineages[node][depth]]]

    @torch.inference_mode()
    def _descend(self, path: Sequence[int], tokens: Sequence[int], kept: Sequence[int]) -> None:
        """Makes the nodes of a path, which are `tokens`, the prompt's last; of those below it only `kept` stay."""
        end = path[-1] if path else None
        number = {node: place for place, node in enumerate(kept)}
        rows = [_row(end), *map(_row, kept)]
        self._hidden, self._follow = (_only(rows, each) for each in (self._hidden, self._follow))
        self._nodes = {
            (None if parent == end else number[parent], token): number[node]  # pyright: ignore[reportArgumentType]
            for (parent, token), node in self._nodes.items()
            if node in number
        }
        if self.recall is not None:
            self.recall.keep(rows)
        if path:
            self.first_step = FirstStep()
        self._kv.descend(path, tokens, self._hidden[0].clone(), kept)
        self.slot.claim(self._owner, len(kept))

    @torch.inference_mode()
    def _keep(self, hidden: Tensor) -> None:
        """Keeps hidden states [N, hidden], those of the last nodes, and what follows them."""
        last = 1 + self.num_nodes
        first = last - len(hidden)
        if last > len(self._follow):
            self._follow, self._hidden = (_longer(each, first, last) for each in (self._follow, self._hidden))
        self._hidden[first:last] = hidden
        logits, follow = self.model.logits(hidden), self._follow[first:last]
        if self.recall is None:
            torch.log_softmax(logits, dim=-1, out=follow)
        else:
            torch.softmax(logits, dim=-1, out=follow)
            self.recall.mix(follow, first)
            follow.log_()


def _row(node: int | None) -> int:
    """Where what follows a node is kept; None is the prompt."""
    return 0 if node is None else 1 + node


def _only(rows: Sequence[int], buffer: Tensor) -> Tensor:
    """A buffer that begins with these rows of `buffer`: that itself, unless it is much too large."""
    kept = buffer[rows]
    if len(buffer) > len(rows) + 2 * ROOM:
        return _longer(kept, len(rows), len(rows))
    buffer[: len(rows)] = kept
    return buffer


def _longer(rows: Tensor, used: int, needed: int) -> Tensor:
    """The first `used` rows, and room for `needed` and more."""
    return torch.cat((rows[:used], rows.new_empty(needed - used + ROOM, rows.shape[1])))
