"""Continuations of one cached prompt, as the causal mode reads them: a tree, in which each start is read once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.kv import KVSlot
from midfill.engine.prompt import Prompt
from midfill.engine.recall import Recall, RecallSettings
from midfill.engine.tree_kv import TreeKV

Step = tuple[int | None, int]
"""A node, or None for the prompt, and a token that follows it."""
ROOM = 256
"""Nodes whose log-probabilities there is room for at first, and by which it grows: 8 MB of the embedded model's."""


class Continuations:
    """What follows the prompt of a slot, and each start that was read.

    As long as this is in use, nothing else may be read into the slot or behind it.
    """

    def __init__(self, model: CausalGemma, slot: KVSlot, recall: Recall | None = None) -> None:
        """`recall` is of the slot's prompt, new, and mixed into what the model says."""
        assert slot.last_hidden is not None
        self.model, self.slot, self._recall = model, slot, recall
        self._kv = TreeKV(model, slot)
        self._nodes = dict[Step, int]()
        self._follow = torch.empty(0, model.config.vocab_size, device=slot.device)
        self._keep(slot.last_hidden[None])

    def place(self, step: Step, new: dict[Step, int]) -> int:
        """The node of `step`; where it was not read yet, the one that it becomes, and that is put into `new`."""
        node = self._nodes.get(step)
        return new.setdefault(step, len(self._nodes) + len(new)) if node is None else node

    @property
    def num_nodes(self) -> int:
        """How many were read."""
        return len(self._nodes)

    def read(self, new: dict[Step, int]) -> Tensor:
        """Adds the steps that were put into `new`: one causal pass; log-probabilities of what follows, [N, V] float32.

        They are a view of what is kept, not to be written to.
        """
        assert list(new.values()) == list(range(self.num_nodes, self.num_nodes + len(new)))
        self._nodes.update(new)
        if self._recall is not None:
            for parent, token in new:
                self._recall.add(_row(parent), token)
        return self._keep(self._kv.grow([parent for parent, _ in new], [token for _, token in new]))

    @property
    def first(self) -> Tensor:
        """Log-probabilities [V] of what follows the prompt."""
        return self._follow[0]

    def of_steps(self, steps: Sequence[Step]) -> list[float]:
        """The log-probability of each token after its parent, which was read."""
        rows = [_row(parent) for parent, _ in steps]
        return self._follow[rows, [token for _, token in steps]].tolist()

    def elsewhere(self, one: int, two: int) -> int | None:
        """What followed two tokens in the text that is recalled; None if they are nowhere in it."""
        return None if self._recall is None else self._recall.follower(one, two)

    def log_probabilities(self, continuations: Sequence[Sequence[int]]) -> list[list[float]]:
        """Of each token of each continuation, of one token or more; one causal pass, if there is a start to read."""
        new = dict[Step, int]()
        steps = list[Step]()
        for tokens in continuations:
            parent = None
            for token in tokens[:-1]:
                steps.append((parent, token))
                parent = self.place(steps[-1], new)
            steps.append((parent, tokens[-1]))
        if new:
            self.read(new)
        found = iter(self.of_steps(steps))
        return [[next(found) for _ in tokens] for tokens in continuations]

    @torch.inference_mode()
    def _keep(self, hidden: Tensor) -> Tensor:
        """Log-probabilities of what follows hidden states [N, hidden], those of the last nodes; [N, V]."""
        last = 1 + self.num_nodes
        first = last - len(hidden)
        if last > len(self._follow):
            room = self._follow.new_empty(ROOM + len(hidden), self._follow.shape[1])
            self._follow = torch.cat((self._follow[:first], room))
        logits, follow = self.model.logits(hidden), self._follow[first:last]
        if self._recall is None:
            return torch.log_softmax(logits, dim=-1, out=follow)
        torch.softmax(logits, dim=-1, out=follow)
        self._recall.mix(follow, first)
        return follow.log_()


def recalling(
    model: CausalGemma, slot: KVSlot, prompt: Prompt, settings: RecallSettings | None
) -> Continuations | None:
    """Continuations of a slot's prompt, with what is recalled mixed in; None where nothing is."""
    recall = Recall.of(settings, prompt)
    return None if recall is None else Continuations(model, slot, recall)


def _row(node: int | None) -> int:
    """Where what follows a node is kept; None is the prompt."""
    return 0 if node is None else 1 + node
