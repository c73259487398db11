"""Small constraints spelled out, for tests: automata over a few letters, and quoted strings in lists."""

from collections import deque
from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from midfill.engine.schema.constraint import DEAD

Steps = Mapping[int, Mapping[int, int]]


class Letters:
    """An automaton by its table; its completions are the shortest, found by brute force."""

    def __init__(self, steps: Steps, exits: frozenset[int], start: int = 1, hints: Sequence[bytes] = ()) -> None:
        self.steps, self.exits, self.start, self.hints = steps, exits, start, hints
        self.asked = 0

    def step(self, state: int, byte: int) -> int:
        self.asked += 1
        after = self.steps.get(state, {}).get(byte, DEAD)
        return after if self.completion(after) is not None else DEAD

    def is_exit(self, state: int) -> bool:
        return state in self.exits

    def completion(self, state: int) -> bytes | None:
        found, queue = {state}, deque([(state, b"")])
        while queue:
            place, text = queue.popleft()
            if place in self.exits:
                return text
            for byte, after in self.steps.get(place, {}).items():
                if after not in found:
                    found.add(after)
                    queue.append((after, text + bytes([byte])))
        return None

    def continuations(self, state: int) -> Sequence[bytes]:
        return [hint for hint in self.hints if self.lives(state, hint)]

    def lives(self, state: int, text: bytes) -> bool:
        """Whether some fill goes on from `state` by `text`."""
        for byte in text:
            state = self.step(state, byte)
        return state != DEAD

    def accepts(self, text: bytes) -> bool:
        """Whether `text` may be the fill."""
        state = self.start
        for byte in text:
            state = self.step(state, byte)
        return self.is_exit(state)


@st.composite
def automata(draw: st.DrawFn, num_states: int = 4) -> Letters:
    """Any automaton of a few states over a, b and c."""
    states = st.integers(1, num_states)
    steps = draw(
        st.dictionaries(states, st.dictionaries(st.sampled_from(b"abc"), states, max_size=3), max_size=num_states)
    )
    hints = draw(st.lists(st.sampled_from([b"abc", b"ca", b"bb"]), max_size=2, unique=True))
    return Letters(steps, draw(st.frozensets(states, max_size=2)), hints=hints)
