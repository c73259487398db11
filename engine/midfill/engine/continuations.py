"""Continuations of one cached prompt, as one search reads them: a tree, in which each start is read once."""

from collections.abc import Sequence

from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.kv import KVSlot
from midfill.engine.prompt import Prompt
from midfill.engine.reading import Reading, Step
from midfill.engine.recall import Recall, RecallSettings


class Continuations:
    """What follows the prompt of a reading, and each start that was asked for.

    Nodes are numbered as they are asked for here: what earlier ones of the same reading have asked for is there without
    a pass, and makes no other difference.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._nodes = dict[Step, int]()
        self._there = list[int]()
        """Each node in the reading."""

    @property
    def slot(self) -> KVSlot:
        """What holds the prompt."""
        return self._reading.slot

    @property
    def num_nodes(self) -> int:
        """How many were asked for."""
        return len(self._nodes)

    def place(self, step: Step, new: dict[Step, int]) -> int:
        """The node of `step`; where it was not asked for yet, the one that it becomes, and that is put into `new`."""
        node = self._nodes.get(step)
        return new.setdefault(step, len(self._nodes) + len(new)) if node is None else node

    def read(self, new: dict[Step, int]) -> Tensor:
        """Adds the steps that were put into `new`, at least one; log-probabilities of what follows, [N, V] float32.

        One causal pass over those that were not read yet, if there are any. What is given is not to be written to.
        """
        assert new
        assert list(new.values()) == list(range(self.num_nodes, self.num_nodes + len(new)))
        missing = dict[Step, int]()
        for parent, token in new:
            self._there.append(self._reading.place((self._in_reading(parent), token), missing))
        self._nodes.update(new)
        if missing:
            self._reading.read(missing)
        return self._reading.follow(self._there[-len(new) :])

    @property
    def first(self) -> Tensor:
        """Log-probabilities [V] of what follows the prompt."""
        return self._reading.follow([None])[0]

    def of_steps(self, steps: Sequence[Step]) -> list[float]:
        """The log-probability of each token after its parent, which was read."""
        return self._reading.of_steps([(self._in_reading(parent), token) for parent, token in steps])

    def elsewhere(self, one: int, two: int) -> int | None:
        """What followed two tokens in the text that is recalled; None if they are nowhere in it."""
        recall = self._reading.recall
        return None if recall is None else recall.follower(one, two)

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

    def _in_reading(self, node: int | None) -> int | None:
        return None if node is None else self._there[node]


def recalling(
    model: CausalGemma, slot: KVSlot, prompt: Prompt, settings: RecallSettings | None
) -> Continuations | None:
    """Continuations of a slot's prompt, with what is recalled mixed in; None where nothing is."""
    recall = Recall.of(settings, prompt)
    return None if recall is None else Continuations(Reading(model, slot, recall, prompt.elsewhere))
