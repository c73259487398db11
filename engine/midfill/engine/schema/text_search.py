"""Texts that lead an automaton to where one wants it, the shortest first."""

import heapq
from collections.abc import Callable, Iterator, Sequence

MAX_LENGTH = 1024
"""Longer texts are not looked for: nobody wants one written for them."""


def shortest_texts(
    start: int,
    alphabet: Sequence[str],
    step: Callable[[int, str], int],
    is_goal: Callable[[int], bool],
    distance: Callable[[int], int],
    budget: int,
) -> Iterator[str]:
    """Texts from `start` to goals, each by another last step: shortest first, then by the alphabet's order.

    `distance` is how many characters a goal is away at least. At most `budget` states are gone through, and no more
    than an eighth of them once a goal is found. (A* search.)
    """
    heap = [(distance(start), 0, 0, start, "")]
    seen: set[int] = set()
    pushed, found = 0, False
    while heap and len(seen) < budget:
        _, _, _, state, text = heapq.heappop(heap)
        if is_goal(state):
            budget = budget if found else min(budget, len(seen) + budget // 8)
            found = True
            yield text
        if state in seen:
            continue
        seen.add(state)
        for char in alphabet:
            after = step(state, char)
            length = len(text) + 1 + distance(after)
            if length <= MAX_LENGTH:
                pushed += 1
                heapq.heappush(heap, (length, -len(text), pushed, after, text + char))
