"""`midfill.engine.schema.lattice`, against every fill there is on small canvases."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.schema.letters import Letters, automata
from torch import Tensor

from midfill.engine.schema.lattice import Lattice, LatticeLimits, Path
from midfill.engine.schema.spellings import Spellings
from midfill.engine.schema.token_automaton import TokenAutomaton

WORDS = (b"", b"a", b"b", b"c", b"ab", b"bca", b"cc")
ALL = LatticeLimits(tokens=len(WORDS), states=1000)
SPELLINGS = Spellings(WORDS)

canvases = st.builds(
    lambda seed, length, scale: (
        scale * torch.randn(length, len(WORDS), generator=torch.Generator().manual_seed(seed))
    ).log_softmax(-1),
    seed=st.integers(0, 1 << 30),
    length=st.integers(0, 4),
    scale=st.sampled_from([0.1, 3.0, 300.0]),
)


def fills(constraint: Letters, canvas: Tensor) -> dict[tuple[int, ...], float]:
    """Each fill that the canvas holds and the constraint allows, with its log-probability."""
    scores = canvas.double().tolist()
    return {
        tokens: sum(row[token] for row, token in zip(scores, tokens, strict=False))
        for length in range(len(scores) + 1)
        for tokens in itertools.product(range(1, len(WORDS)), repeat=length)
        if constraint.accepts(b"".join(WORDS[token] for token in tokens))
    }


def solve(constraint: Letters, canvas: Tensor, limits: LatticeLimits = ALL) -> Lattice:
    return Lattice(TokenAutomaton(constraint, SPELLINGS), canvas, limits)


def is_allowed(constraint: Letters, path: Path) -> bool:
    return constraint.accepts(b"".join(WORDS[token] for token in path.tokens))


@settings(deadline=None)
@given(automata(), canvases)
def test_the_best_fill_of_each_length_is_that_of_brute_force(constraint: Letters, canvas: Tensor) -> None:
    best: dict[int, float] = {}
    for tokens, score in fills(constraint, canvas).items():
        best[len(tokens)] = max(score, best.get(len(tokens), -math.inf))
    found = solve(constraint, canvas).paths()
    assert all(is_allowed(constraint, path) for path in found)
    assert {len(path.tokens): path.log_probability for path in found} == pytest.approx(best)
    assert [path.log_probability for path in found] == sorted(best.values(), reverse=True) or found == sorted(
        found, key=lambda path: -path.log_probability
    )


@settings(deadline=None)
@given(automata(), canvases, st.integers(0, 2))
def test_marginals_are_those_of_brute_force_and_sum_to_one(constraint: Letters, canvas: Tensor, shortest: int) -> None:
    weights = {tokens: score for tokens, score in fills(constraint, canvas).items() if len(tokens) >= shortest}
    found = solve(constraint, canvas).marginals(shortest)
    if not weights:
        assert found == []
        return
    most = max(weights.values())
    total = sum(math.exp(score - most) for score in weights.values())
    for position, marginals in enumerate(found):
        assert marginals.probabilities.sum() + marginals.ended == pytest.approx(1, abs=1e-6)
        for token, probability in zip(marginals.tokens, marginals.probabilities, strict=True):
            mass = sum(
                math.exp(score - most)
                for tokens, score in weights.items()
                if len(tokens) > position and tokens[position] == token
            )
            assert probability == pytest.approx(mass / total, abs=1e-9)
        assert len(set(marginals.tokens.tolist())) == len(marginals.tokens)


@settings(deadline=None)
@given(automata(6), canvases, st.integers(1, len(WORDS)), st.integers(1, 2), st.integers(1, 2))
def test_a_fill_is_found_where_a_completion_fits_however_little_is_looked_at(
    constraint: Letters, canvas: Tensor, tokens: int, states: int, opened: int
) -> None:
    found = solve(constraint, canvas, LatticeLimits(tokens, states, opened)).paths()
    assert all(is_allowed(constraint, path) for path in found)
    completion = constraint.completion(constraint.start)
    spelled = None if completion is None else SPELLINGS.fewest(completion)
    if spelled is not None and len(spelled) <= len(canvas):
        assert found


@pytest.mark.parametrize("states", [1, 2, 3])
def test_a_forced_token_that_is_likely_but_not_looked_at_is_still_followed(states: int) -> None:
    steps = {**{state: {97: state + 1, 98: 10, 99: 10} for state in range(1, 7)}, 10: {98: 10, 99: 1}}
    canvas = torch.tensor([0.0, 1.0, 8.0, 8.0, 0.0, 0.0, 7.0]).log_softmax(-1).repeat(6, 1)
    only_a = solve(Letters(steps, frozenset({7})), canvas, LatticeLimits(len(WORDS), states, opened=1)).paths()
    assert [path.tokens for path in only_a] == [[1] * 6]


@settings(deadline=None)
@given(automata(), canvases)
def test_the_posterior_is_of_fills_as_long_as_the_canvas_where_there_are_any(
    constraint: Letters, canvas: Tensor
) -> None:
    weights = fills(constraint, canvas)
    lattice = solve(constraint, canvas)
    posterior = lattice.posterior()
    if not weights or not len(canvas):
        assert posterior is None or not len(canvas)
        return
    assert posterior is not None
    assert bool(posterior.isfinite().all())
    assert torch.allclose(posterior.exp().sum(-1), torch.ones(len(canvas)), atol=1e-4)
    if any(len(tokens) == len(canvas) for tokens in weights):
        for position, row in enumerate(posterior.exp()):
            legal = {tokens[position] for tokens in weights if len(tokens) == len(canvas)}
            assert all(token in legal for token in row.nonzero()[:, 0].tolist())


def test_behind_the_end_of_a_fill_the_posterior_is_what_the_canvas_says() -> None:
    only_a = Letters({1: {97: 2}}, frozenset({2}))
    canvas = torch.randn(3, len(WORDS), generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    posterior = solve(only_a, canvas).posterior()
    assert posterior is not None
    assert posterior[0].argmax() == WORDS.index(b"a")
    assert float(posterior[0].exp().max()) == pytest.approx(1)
    assert torch.allclose(posterior[1:], canvas[1:], atol=1e-5)


def test_an_illegal_token_of_any_probability_is_never_taken() -> None:
    only_ab = Letters({1: {97: 2}, 2: {98: 3}}, frozenset({3}))
    canvas = torch.full((4, len(WORDS)), -math.inf)
    canvas[:, 3] = 0.0
    found = solve(only_ab, canvas, LatticeLimits(1, 1)).paths()
    assert [path.tokens for path in found] == [[4]]


def test_a_dead_start_has_no_fill() -> None:
    lattice = solve(Letters({}, frozenset(), start=0), torch.zeros(3, len(WORDS)))
    assert lattice.paths() == []
    assert lattice.marginals() == []


def test_an_empty_canvas_has_the_empty_fill_where_the_hole_may_be_empty() -> None:
    assert solve(Letters({}, frozenset({1})), torch.zeros(0, len(WORDS))).paths() == [Path([], 0.0)]


def test_a_second_solve_takes_no_step_of_the_constraint() -> None:
    constraint = Letters({1: {97: 1, 98: 2}, 2: {99: 1}}, frozenset({1}))
    automaton = TokenAutomaton(constraint, SPELLINGS)
    canvas = torch.randn(4, len(WORDS), generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    first = Lattice(automaton, canvas).paths()
    asked = constraint.asked
    assert Lattice(automaton, canvas).paths() == first
    assert constraint.asked == asked
