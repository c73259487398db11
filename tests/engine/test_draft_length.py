"""`midfill.engine.draft_length`, in simulated worlds: near the best length of each, and never much below plain."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midfill.engine.draft_length import NUM_MEASURED, PROBING, DraftLength, Round

MOST = 8
ROUNDS = 800
COLD_ROUNDS = 8 * NUM_MEASURED
"""Rounds in which each length may be measured; whatever they cost, they are left out of the comparisons."""
SETTLES = 0.02
"""Share of the speed that is lost while an estimate wanders around the true acceptance."""
Noise = Callable[[random.Random, float], float]


def steady(_rng: random.Random, seconds: float) -> float:
    return seconds


def busy(rng: random.Random, seconds: float) -> float:
    """A machine that does other things: one in six takes eight times as long."""
    return seconds * rng.choice([1, 1, 1, 1.1, 1.3, 8])


@dataclass
class World:
    """A target whose plain pass takes a second, and a drafter."""

    acceptance: float
    step_s: float
    more_s: float
    """Seconds of the pass for each draft that it looks at."""
    jump_s: float = 0.0
    """Seconds that a pass over drafts takes more than a plain one, however many they are."""
    noise: Noise = steady
    most: int = MOST
    rng: random.Random = field(default_factory=lambda: random.Random(0))

    def seconds(self, length: int) -> tuple[float, float]:
        return length * self.step_s, 1 + length * self.more_s + (self.jump_s if length else 0)

    def best(self) -> float:
        """Tokens a second of the length that is best in this world."""
        tokens = [sum(self.acceptance**place for place in range(length + 1)) for length in range(self.most + 1)]
        return max(each / sum(self.seconds(length)) for length, each in enumerate(tokens))

    def round(self, length: int) -> Round:
        accepted = 0
        while accepted < length and self.rng.random() < self.acceptance:
            accepted += 1
        return Round(length, accepted, *self.seconds(length))

    def run(self, lengths: DraftLength, rounds: int) -> tuple[float, Counter[int]]:
        """Tokens a second, without the noise that its durations are told with; and how often each length was."""
        tokens, seconds, chosen = 0, 0.0, Counter[int]()
        for _ in range(rounds):
            round = self.round(lengths.choose())
            tokens, seconds = tokens + round.num_accepted + 1, seconds + round.draft_s + round.pass_s
            chosen[round.num_drafts] += 1
            draft_s, pass_s = (self.noise(self.rng, each) for each in (round.draft_s, round.pass_s))
            lengths.learn(round._replace(draft_s=draft_s, pass_s=pass_s))
        return tokens / seconds, chosen

    def settled(self, rounds: int = ROUNDS) -> tuple[float, Counter[int]]:
        lengths = DraftLength(self.most)
        self.run(lengths, COLD_ROUNDS)
        return self.run(lengths, rounds)


@settings(max_examples=40, deadline=None)
@given(
    acceptance=st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7]),
    step_s=st.sampled_from([0.02, 0.1, 0.5, 2.0]),
    more_s=st.sampled_from([0.0, 0.2, 0.9]),
    jump_s=st.sampled_from([0.0, 0.5]),
    most=st.integers(0, MOST),
    seed=st.integers(0, 9),
)
def test_it_is_never_slower_than_plain_beyond_the_probes_and_near_the_best(
    acceptance: float, step_s: float, more_s: float, jump_s: float, most: int, seed: int
):
    world = World(acceptance, step_s, more_s, jump_s, most=most, rng=random.Random(seed))
    speed, chosen = world.settled()
    assert speed > 1 - PROBING - SETTLES
    assert speed > (1 - 0.1) * world.best()
    assert max(chosen) <= most


def test_a_drafter_that_costs_too_much_is_only_probed():
    speed, chosen = World(acceptance=0.8, step_s=1.0, more_s=0.1).settled()
    assert speed > 1 - PROBING
    assert 5 < ROUNDS - chosen[0] < 0.04 * ROUNDS
    assert set(chosen) <= {0, 1, 2}


def test_four_fifths_accepted_give_most_of_what_there_is_to_gain():
    world = World(acceptance=0.8, step_s=0.05, more_s=0.02)
    speed, chosen = world.settled()
    assert world.best() > 2.7
    assert speed > 0.95 * world.best()
    assert sum(chosen[length] for length in range(5, MOST + 1)) > 0.9 * ROUNDS


def test_acceptance_that_falls_stops_the_drafts_and_one_that_rises_again_brings_them_back():
    world, lengths = World(acceptance=0.8, step_s=0.4, more_s=0.05), DraftLength(MOST)
    world.run(lengths, 200)
    assert lengths.choose() > 0
    world.acceptance = 0.0
    world.run(lengths, 60)
    speed, chosen = world.run(lengths, ROUNDS)
    assert speed > 1 - PROBING - SETTLES
    assert chosen[0] > 0.9 * ROUNDS
    world.acceptance = 0.8
    world.run(lengths, 200)
    speed, _ = world.run(lengths, ROUNDS)
    assert speed > 0.93 * world.best()


def test_a_drafter_that_becomes_cheap_is_noticed():
    world, lengths = World(acceptance=0.8, step_s=3.0, more_s=0.05), DraftLength(MOST)
    world.run(lengths, 200)
    world.step_s = 0.1
    world.run(lengths, 1500)  # each probe of the old drafter was paid for with a hundred plain rounds
    speed, _ = world.run(lengths, ROUNDS)
    assert speed > 0.93 * world.best()


@pytest.mark.parametrize("acceptance", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("step_s", [0.02, 0.3, 1.0])
def test_other_work_on_the_machine_misleads_it_little(acceptance: float, step_s: float):
    world = World(acceptance, step_s, more_s=0.1, noise=busy)
    speed, _ = world.settled()
    assert speed > 1 - PROBING - 2 * SETTLES
    assert speed > 0.88 * world.best()


@pytest.mark.parametrize("slow", [0, 2])
def test_a_first_pass_that_is_a_hundred_times_slower_counts_for_little(slow: int):
    world, lengths, met = World(acceptance=0.8, step_s=0.1, more_s=0.05), DraftLength(MOST), set[int]()
    for _ in range(100):
        round = world.round(lengths.choose())
        is_first = round.num_drafts == slow and slow not in met
        met.add(round.num_drafts)
        lengths.learn(round._replace(pass_s=100 * round.pass_s) if is_first else round)
    speed, _ = world.run(lengths, ROUNDS)
    assert speed > 0.93 * world.best()


def test_each_place_of_a_draft_has_an_acceptance_of_its_own():
    lengths = DraftLength(MOST)
    for index in range(600):
        length = 0 if index < NUM_MEASURED else lengths.choose()
        lengths.learn(Round(length, min(2, length), 0.1 * length, 1.0))  # the third is never right
    assert lengths.choose() == 2 or lengths.tokens_a_second(2) > lengths.tokens_a_second(3)
    assert lengths.tokens_a_second(2) == pytest.approx(3 / 1.2, rel=0.02)


def test_drafts_that_end_early_do_not_use_up_the_probes():
    world, lengths, chosen = World(acceptance=0.9, step_s=0.05, more_s=0.05), DraftLength(MOST), Counter[int]()
    for _ in range(ROUNDS):
        length = lengths.choose()
        chosen[length] += 1
        lengths.learn(world.round(world.rng.randint(min(length, 1), length)))
    assert NUM_MEASURED + 5 < chosen[0] < 0.05 * ROUNDS


def test_choosing_changes_nothing_and_the_same_rounds_give_the_same_lengths():
    one, other = DraftLength(MOST), DraftLength(MOST)
    world = World(acceptance=0.6, step_s=0.1, more_s=0.1, noise=busy)
    for _ in range(300):
        assert one.choose() == other.choose() == one.choose()
        round = world.round(one.choose())
        one.learn(round)
        other.learn(round)


def test_without_places_for_drafts_there_are_none():
    lengths = DraftLength(0)
    for _ in range(100):
        assert lengths.choose() == 0
        lengths.learn(Round(0, 0, 0.0, 1.0))


def test_a_clock_that_stands_still_is_no_error():
    lengths = DraftLength(MOST)
    for _ in range(100):
        length = lengths.choose()
        lengths.learn(Round(length, length // 2, 0.0, 0.0))
