"""Beam search held to a constraint: fills written left to right, of which each may stand in the hole."""

from collections.abc import Generator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.kv import KVSlot
from midfill.engine.schema.lattice import LOWEST
from midfill.engine.schema.token_automaton import NOWHERE, Edges, TokenAutomaton
from midfill.engine.scoring import log_probabilities
from midfill.engine.tree_kv import TreeKV
from midfill.engine.writable import LIKELY_TOKENS


class BeamSettings(msgspec.Struct, frozen=True):
    """How far the search goes."""

    width: int
    """Hypotheses that go on after each token."""
    longest: int
    """Tokens of a fill."""
    kept: int
    """Fills that it gives."""


class Held(NamedTuple):
    """A fill, or the start of one, and the state of the constraint after it."""

    tokens: list[int]
    log_probability: float
    state: int


@torch.inference_mode()
def constrained_beam_search(
    model: CausalGemma, slot: KVSlot, suffix_start: int, automaton: TokenAutomaton, settings: BeamSettings
) -> Generator[list[list[int]], None, None]:
    """The best allowed fills found so far, best first, or none: a `next()` is a forward pass.

    Where a completion of at most `settings.longest` tokens is known, some fill is found, however improbable. The tokens
    of `slot` stay.
    """
    assert slot.last_hidden is not None
    if automaton.start == NOWHERE:
        return
    automaton.open_start()
    tree = TreeKV(model, slot)
    follow = log_probabilities(model, slot.last_hidden[None])
    live, parents = _extended([Held([], 0.0, automaton.start)], follow, automaton, settings, -np.inf)
    kept: list[Held] = []
    nodes: list[int | None] = [None]
    while live:
        hidden = tree.grow([nodes[parent] for parent in parents], [each.tokens[-1] for each in live])
        nodes = list(range(len(tree.lineages) - len(live), len(tree.lineages)))
        follow = log_probabilities(model, hidden)
        found = [*kept, *_ended(live, follow[:, suffix_start].tolist(), automaton)]
        kept = sorted(found, key=lambda each: each.log_probability, reverse=True)[: settings.kept]
        yield [each.tokens for each in kept]
        if len(live[0].tokens) == settings.longest:
            return
        floor = kept[-1].log_probability if len(kept) == settings.kept else -np.inf
        live, parents = _extended(live, follow, automaton, settings, floor)


def _ended(live: Sequence[Held], ends: Sequence[float], automaton: TokenAutomaton) -> list[Held]:
    """Those after which the hole may end, with the log-probability of what follows each."""
    return [
        each._replace(log_probability=each.log_probability + max(end, LOWEST))
        for each, end in zip(live, ends, strict=True)
        if automaton.is_exit[each.state]
    ]


def _extended(
    live: Sequence[Held], follow: Tensor, automaton: TokenAutomaton, settings: BeamSettings, floor: float
) -> tuple[list[Held], list[int]]:
    """The best hypotheses of one token more, those above `floor`, best first, and which each one continues.

    One that surely comes to an exit in time is among them, if there is any: it takes the place of the worst.
    """
    source, tokens, states = _steps(live, follow, automaton, settings.width)
    so_far = np.array([each.log_probability for each in live])
    rows = follow.clamp(min=LOWEST)[torch.from_numpy(source), torch.from_numpy(tokens)]
    scores = so_far[source] + rows.double().cpu().numpy()
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > floor]
    chosen = order[: settings.width]
    automaton.open(states[chosen])
    left = settings.longest - len(live[0].tokens) - 1
    sure = order[automaton.to_exit[states[order]] <= left]
    if len(sure) and not (automaton.to_exit[states[chosen]] <= left).any():
        automaton.open(states[sure[:1]])
        chosen[-1] = sure[0]
    longer = [
        Held([*live[int(source[edge])].tokens, int(tokens[edge])], float(scores[edge]), int(states[edge]))
        for edge in chosen
    ]
    return longer, source[chosen].tolist()


def _steps(live: Sequence[Held], follow: Tensor, automaton: TokenAutomaton, width: int) -> Edges:
    """The steps that matter, each once: at least the `width` most probable by likely tokens, and the forced ones."""
    states = np.array([each.state for each in live])
    so_far = torch.tensor([each.log_probability for each in live], device=follow.device)
    tokens = follow.topk(min(LIKELY_TOKENS, follow.shape[1]), dim=-1)[1]
    scores = (follow.gather(-1, tokens) + so_far[:, None]).flatten()
    likely, order = tokens.cpu().numpy(), scores.argsort(descending=True, stable=True).cpu().numpy()
    taken = np.zeros(likely.shape, dtype=bool)
    parts: list[Edges] = []
    begin = 0
    while begin < len(order) and sum(len(part.source) for part in parts) < width:
        source, place = np.divmod(order[begin : begin + 4 * width], likely.shape[1])
        taken[source, place] = True
        targets = automaton.step(states[source], likely[source, place])
        alive = np.flatnonzero(targets != NOWHERE)
        parts.append(Edges(source[alive], likely[source, place][alive], targets[alive]))
        begin += 4 * width
    forced = automaton.forced(states)
    is_known = (taken[forced.source] & (likely[forced.source] == forced.token[:, None])).any(axis=1)
    parts.append(Edges(*(each[~is_known] for each in forced)))
    return Edges(*(np.concatenate(each) for each in zip(*parts, strict=True)))
