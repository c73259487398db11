"""Best-first search by the causal mode: fills written left to right, each judged by how well the suffix follows it.

The canvas sees both sides but guesses positions side by side; this sees each token's predecessors, and finds what
the canvas misses where one token hangs on the last. A start of a fill is read before all less likely ones, however
long they are, and what may come of it is read along with it: so a pass goes forward by more than a token.
"""

import heapq
import itertools
import math
from collections.abc import Generator, Sequence

import msgspec
import torch

from midfill.engine.continuations import Continuations
from midfill.engine.cpu_products import padded_rows
from midfill.engine.lookahead import Lookahead
from midfill.engine.reading import Step
from midfill.engine.writable import Writable

BRANCHING = 8
"""The likeliest tokens that are tried after each start."""


class SearchSettings(msgspec.Struct, frozen=True):
    """How far the search goes."""

    width: int
    """Starts of fills that a pass reads, guesses apart, and what it has room for."""
    longest: int
    """Tokens of a fill."""
    kept: int
    """Fills that it gives."""
    margin: float = float("inf")
    """Nats by which the start of a fill may be less likely than the best fill that has ended, to be gone on with."""
    enough: int | None = None
    """The start of a fill has to be likelier than the best so many that have ended, to be gone on with; or than `kept`.

    What has ended by the way costs little to compare, each token more a pass.
    """
    least: int = 1
    """Fills that it gives even if they are more than `margin` less likely than the best."""
    most: int | None = None
    """Starts after which no further pass is begun; None for all that are likely enough."""
    ahead: int = 0
    """Tokens that are guessed after each start, and read in the same pass."""


@torch.inference_mode()
def best_first_search(
    known: Continuations,
    drafts: Sequence[Sequence[int]],
    suffix_start: int,
    writable: Writable,
    settings: SearchSettings,
) -> Generator[list[list[int]], None, None]:
    """The best fills found so far, best first: a `next()` is a pass.

    A fill's log-probability is that of its tokens and then `suffix_start`. `drafts` are fills that are looked at first,
    as far as they are `writable`. What is read stays in `known`, of which nothing was asked before.
    """
    assert not known.num_nodes
    search = _Search(known, suffix_start, writable, settings)
    new = search.drafted(drafts)
    while search.add_likeliest(new, settings.width):
        search.add_guesses(new)
        search.add_likeliest(new, padded_rows(len(new)) - len(new))  # which a CPU computes anyway
        search.read(new)
        yield search.fills()
        new = {}


class _Search:
    """What one search has seen so far. Starts of fills are nodes of `known`, by whose numbers they are listed."""

    def __init__(self, known: Continuations, suffix_start: int, writable: Writable, settings: SearchSettings) -> None:
        self.known, self.settings, self.suffix_start, self.writable = known, settings, suffix_start, writable
        self.last_of_prompt = known.slot.tokens[-1]
        self.lookahead = Lookahead(known.slot.tokens, known.elsewhere)
        self.starts = list[list[int]]()
        """Their tokens."""
        self.log_probabilities = list[float]()
        """Of all tokens of each."""
        self.ended = list[tuple[float, int]]()
        """The best fills, best first: their log-probability, the suffix's first token included, and their node."""
        self.order = itertools.count()
        self.queue = list[tuple[float, int, Step]]()
        """A heap of steps to read: less the log-probability of what they make, the order that they came in."""
        first = writable.likeliest([None], known.first[None], [0.0], -math.inf, max(BRANCHING, settings.width))[0]
        for log_probability, token in first:
            self._push(log_probability, (None, token), -math.inf)

    def drafted(self, drafts: Sequence[Sequence[int]]) -> dict[Step, int]:
        """The steps of drafts, as `Continuations.place` has them, as far as they may be written."""
        new = dict[Step, int]()
        for draft in drafts:
            parent = None
            for token in draft[: self.settings.longest]:
                if not self.writable.allows((parent, token)):
                    break
                parent = self._place((parent, token), new)
        return new

    def add_likeliest(self, new: dict[Step, int], count: int) -> bool:
        """Adds the `count` likeliest steps that were not read, if so many may be; whether there is anything to read."""
        floor, wanted = self._floor(), len(new) + count
        if self.settings.most is not None and len(self.log_probabilities) >= self.settings.most:
            return False
        while self.queue and len(new) < wanted and -self.queue[0][0] > floor:
            self._place(heapq.heappop(self.queue)[2], new)
        return bool(new)

    def add_guesses(self, new: dict[Step, int]) -> None:
        """Adds what may come after each step."""
        for node in list(new.values()):
            last = node
            for _ in range(self.settings.ahead):
                token = self.lookahead.guess(*self._last_two(last))
                if token is None or len(self.starts[last]) == self.settings.longest or (last, token) in new:
                    break
                if not self.writable.allows((last, token)):
                    break
                last = self._place((last, token), new)

    def read(self, new: dict[Step, int]) -> None:
        """Reads the steps, and finds where fills end and what may be read next."""
        follow = self.known.read(new)
        for (parent, _), own in zip(new, self.known.of_steps(list(new)), strict=True):
            self.log_probabilities.append(own if parent is None else self.log_probabilities[parent] + own)
        nodes, so_far = list(new.values()), self.log_probabilities[-len(new) :]
        self._end(nodes, [one + end for one, end in zip(so_far, follow[:, self.suffix_start].tolist(), strict=True)])
        floor = self._floor()
        likely = self.writable.likeliest(nodes, follow, so_far, floor, BRANCHING)
        for node, after in zip(nodes, likely, strict=True):
            if after:
                self.lookahead.learn(*self._last_two(node), after[0][1])
            if len(self.starts[node]) < self.settings.longest:
                for log_probability, token in after:
                    self._push(self.log_probabilities[node] + log_probability, (node, token), floor)

    def _end(self, nodes: Sequence[int], likely: Sequence[float]) -> None:
        """Keeps those that are fills, of all that would be as likely as that, if they are among the best."""
        least = self.ended[-1][0] if len(self.ended) == self.settings.kept else -math.inf
        found = sorted((each for each in zip(likely, nodes, strict=True) if each[0] > least), reverse=True)
        may_end = self.writable.may_end([node for _, node in found])
        ended = [*self.ended, *itertools.compress(found, may_end)]
        self.ended = sorted(ended, reverse=True)[: self.settings.kept]

    def fills(self) -> list[list[int]]:
        """The best, best first."""
        if not self.ended:
            return []
        floor, least = self.ended[0][0] - self.settings.margin, self.settings.least
        given = (node for place, (likely, node) in enumerate(self.ended) if likely > floor or place < least)
        return [self.starts[node] for node in given]

    def _floor(self) -> float:
        """What a start has to be likelier than. It only becomes less likely: what is not above a fill will not be."""
        if not self.ended:
            return -math.inf
        floor, enough = self.ended[0][0] - self.settings.margin, self.settings.enough or self.settings.kept
        return max(floor, self.ended[enough - 1][0]) if len(self.ended) >= enough else floor

    def _push(self, log_probability: float, step: Step, floor: float) -> None:
        if log_probability > floor:
            heapq.heappush(self.queue, (-log_probability, next(self.order), step))

    def _place(self, step: Step, new: dict[Step, int]) -> int:
        node, (parent, token) = self.known.place(step, new), step
        if node == len(self.starts):
            self.starts.append([token] if parent is None else [*self.starts[parent], token])
            self.writable.add(step)
        return node

    def _last_two(self, node: int) -> tuple[int, int]:
        """The last tokens of a start, with what stands before it."""
        start = self.starts[node]
        return start[-2] if len(start) > 1 else self.last_of_prompt, start[-1]
