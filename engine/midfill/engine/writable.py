"""What a search may write next: any text, or what a grammar allows.

Starts of fills have the numbers that `Continuations` gives them; None stands for none of their tokens yet.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from midfill.engine.reading import Step
from midfill.engine.schema.token_automaton import NOWHERE, Indices, Scores, TokenAutomaton

LIKELY_TOKENS = 128
"""Tokens that are tried after a start that is held to a grammar: the first few are often not allowed."""
AT_ONCE = 16
"""So many of them at a time, until enough are allowed."""
SUGGESTED = 8
"""Starts whose likely ways on are asked for in a pass: there is an end to how often that may be."""

Likely = list[tuple[float, int]]
"""Log-probabilities and tokens."""


class Writable(Protocol):
    """What may be written, and where a fill may end."""

    def allows(self, step: Step) -> bool:
        """Whether the token may come there."""
        ...

    def add(self, step: Step) -> None:
        """Makes a step that is allowed the next start."""
        ...

    def likeliest(
        self, starts: Sequence[int | None], follow: Tensor, so_far: Sequence[float], floor: float, count: int
    ) -> list[Likely]:
        """The `count` likeliest tokens after each start, and more that are worth a try, by `follow` [N, V].

        `so_far` are log-probabilities of the starts; what becomes no likelier than `floor` by its token need not be
        there. None is the only one of `starts`, or not among them.
        """
        ...

    def may_end(self, starts: Sequence[int]) -> list[bool]:
        """Whether a fill may be just that. The first of them matter most."""
        ...


class AnyText:
    """All but some tokens: `banned` and `banned_first`, [V] bool, the latter of those that may not come first."""

    def __init__(self, banned: Tensor, banned_first: Tensor | None = None) -> None:
        self.banned = banned
        self.banned_first = banned if banned_first is None else banned | banned_first

    def allows(self, step: Step) -> bool:
        return not self._banned_after(step[0])[step[1]]

    def add(self, step: Step) -> None:
        """It makes no difference to what comes then."""

    def likeliest(
        self, starts: Sequence[int | None], follow: Tensor, so_far: Sequence[float], floor: float, count: int
    ) -> list[Likely]:
        allowed = follow.masked_fill(self._banned_after(starts[0]), -torch.inf)
        found, tokens = allowed.topk(min(count, allowed.shape[1]), dim=-1)
        return [list(zip(*each, strict=True)) for each in zip(found.tolist(), tokens.tolist(), strict=True)]

    def may_end(self, starts: Sequence[int]) -> list[bool]:
        return [True] * len(starts)

    def _banned_after(self, start: int | None) -> Tensor:
        return self.banned_first if start is None else self.banned


class HeldText:
    """What `automaton` allows. After the likeliest starts the tokens that it forces are tried as well."""

    def __init__(self, automaton: TokenAutomaton) -> None:
        self.automaton = automaton
        self.states = list[int]()
        """Of each start."""
        automaton.open_start()

    def allows(self, step: Step) -> bool:
        return self._after(step) != NOWHERE

    def add(self, step: Step) -> None:
        self.states.append(self._after(step))

    def likeliest(
        self, starts: Sequence[int | None], follow: Tensor, so_far: Sequence[float], floor: float, count: int
    ) -> list[Likely]:
        states, likely = np.array([self._state(start) for start in starts]), np.array(so_far)
        self.automaton.suggest(states[np.argsort(-likely, kind="stable")][:SUGGESTED])
        found = self._allowed(states, follow, floor - likely, count)
        forced = self.automaton.forced(states)
        sure = follow[torch.from_numpy(forced.source), torch.from_numpy(forced.token)].tolist()
        for row, token, log_probability in zip(forced.source.tolist(), forced.token.tolist(), sure, strict=True):
            found[row].setdefault(token, log_probability)
        return [sorted(((each, token) for token, each in row.items()), reverse=True) for row in found]

    def may_end(self, starts: Sequence[int]) -> list[bool]:
        states = np.array([self.states[start] for start in starts], dtype=np.int64)
        self.automaton.look(states)
        return self.automaton.is_exit[states].tolist()

    def _allowed(self, states: Indices, follow: Tensor, least: Scores, count: int) -> list[dict[int, float]]:
        """Of each state, the likeliest tokens that lead on, above its floor; `count` of them, and a few more."""
        values, tokens = (each.cpu().numpy() for each in follow.topk(min(LIKELY_TOKENS, follow.shape[1]), dim=-1))
        found: list[dict[int, float]] = [{} for _ in states]
        for begin in range(0, tokens.shape[1], AT_ONCE):
            wanting = np.array([len(each) < count for each in found]) & (values[:, begin] > least)
            rows, block = np.flatnonzero(wanting), slice(begin, begin + AT_ONCE)
            if not len(rows):
                break
            tried = tokens[rows, block]
            targets = self.automaton.step(np.repeat(states[rows], tried.shape[1]), tried.ravel()).reshape(tried.shape)
            for place, column in zip(*np.nonzero(targets != NOWHERE), strict=True):
                row = rows[place]
                found[row][int(tokens[row, begin + column])] = float(values[row, begin + column])
        return found

    def _state(self, start: int | None) -> int:
        return self.automaton.start if start is None else self.states[start]

    def _after(self, step: Step) -> int:
        parent, token = step
        return int(self.automaton.step(np.array([self._state(parent)]), np.array([token]))[0])
