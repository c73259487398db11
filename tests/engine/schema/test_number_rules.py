"""Number rules against `json` and `Decimal`, by trying all short continuations."""

import json
import time
from decimal import Context, Decimal
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from midfill.engine.schema.constraint import DEAD
from midfill.engine.schema.number_rules import NumberChecker, NumberRule

CONTINUATIONS = [
    text
    for text in ("".join(chars) for length in range(4) for chars in product("-+0157.e", repeat=length))
    if "+" not in text.rstrip("+") or "e+" in text
]

EXACT = Context(prec=20_000)
SMALL = st.decimals(-30, 30, places=1) | st.integers(-12, 12).map(Decimal)
STEPS = st.sampled_from([Decimal(text) for text in ("1", "2", "3", "0.5", "0.25", "7", "10", "1.5")])
RULES = st.builds(
    NumberRule,
    st.booleans(),
    *[st.none() | SMALL] * 4,
    st.none() | STEPS,
    st.none() | st.none() | st.frozensets(SMALL, max_size=4),
)
NUMBERS = st.one_of(
    st.integers(-120, 120).map(str),
    st.floats(-40, 40).map(lambda number: f"{number:.2f}"),
    st.tuples(st.integers(-60, 60), st.integers(-3, 3)).map(lambda pair: f"{pair[0]}e{pair[1]}"),
    st.from_regex(r"\A-?(0|[1-9][0-9]?)(\.[0-9]{1,2})?([eE][+-]?[0-9])?\Z"),
)
STARTS = st.tuples(NUMBERS, st.integers(0, 4)).map(lambda pair: pair[0][: pair[1]])


def run(checker: NumberChecker, text: str) -> int:
    state = checker.start
    for byte in text.encode():
        state = checker.step(state, byte)
    return state


def value_of(text: str) -> Decimal | None:
    try:
        number = json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=lambda _: None)
    except ValueError:
        return None
    return number if isinstance(number, Decimal) else None


def meets(rule: NumberRule, text: str) -> bool:
    value = value_of(text)
    if value is None:
        return False
    return (
        (not rule.integer or EXACT.remainder(value, Decimal(1)) == 0)
        and (rule.minimum is None or value >= rule.minimum)
        and (rule.maximum is None or value <= rule.maximum)
        and (rule.exclusive_minimum is None or value > rule.exclusive_minimum)
        and (rule.exclusive_maximum is None or value < rule.exclusive_maximum)
        and (rule.multiple_of is None or EXACT.remainder(value, rule.multiple_of) == 0)
        and (rule.literals is None or value in rule.literals)
    )


@given(st.text("-+0159.eE", max_size=7))
@example("-0.5e+3")
@example("01")
def test_numbers_are_those_of_json(text: str) -> None:
    checker = NumberChecker([])
    state = run(checker, text)
    assert checker.is_complete(state) is (value_of(text) is not None)


@given(st.text("-+0159.eE", max_size=5))
def test_dead_state_starts_no_number(text: str) -> None:
    if run(NumberChecker([]), text) == DEAD:
        assert all(value_of(text + more) is None for more in ("", "0", "1", "5e5", "-1", "+0", ".5"))
    else:
        assert any(value_of(text + more) is not None for more in ("", "0"))


@given(st.lists(RULES, max_size=3), NUMBERS)
def test_unmet_rules_are_those_that_the_number_breaks(rules: list[NumberRule], text: str) -> None:
    checker = NumberChecker(rules)
    unmet = checker.unmet(run(checker, text))
    assert unmet == sum((not meets(rule, text)) << at for at, rule in enumerate(rules))


@given(st.lists(RULES, max_size=2), STARTS)
@example([NumberRule(minimum=Decimal(5), maximum=Decimal(9))], "12")
def test_failed_rule_is_met_by_no_continuation(rules: list[NumberRule], text: str) -> None:
    checker = NumberChecker(rules)
    failed = checker.failed(run(checker, text))
    for at, rule in enumerate(rules):
        if failed >> at & 1:
            assert not any(meets(rule, text + more) for more in CONTINUATIONS)


@given(RULES, STARTS)
def test_rule_that_has_not_failed_can_be_met(rule: NumberRule, text: str) -> None:
    checker = NumberChecker([rule])
    state = run(checker, text)
    if state != DEAD and not checker.failed(state):
        assert checker.endings(state, 1)


@given(st.lists(RULES, min_size=1, max_size=3), STARTS, st.integers(0, 7))
def test_endings_meet_what_is_wanted_and_one_is_found(rules: list[NumberRule], text: str, wanted: int) -> None:
    checker = NumberChecker(rules)
    wanted &= (1 << len(rules)) - 1
    asked = [rule for at, rule in enumerate(rules) if wanted >> at & 1]
    endings = checker.endings(run(checker, text), wanted)
    assert all(value_of(text + ending) is not None for ending in endings)
    assert all(meets(rule, text + ending) for ending in endings for rule in asked)
    assert [len(ending) for ending in endings] == sorted(map(len, endings))
    assert len(endings) == len(set(endings)) <= 32
    if not endings and asked:
        assert not any(all(meets(rule, text + more) for rule in asked) for more in CONTINUATIONS)


@pytest.mark.parametrize(
    ("rule", "text", "ending"),
    [
        (NumberRule(integer=True, minimum=Decimal(1000000), multiple_of=Decimal(7)), "", "1000006"),
        (NumberRule(minimum=Decimal(5), maximum=Decimal(20)), "1", "0"),
        (NumberRule(exclusive_minimum=Decimal(0), exclusive_maximum=Decimal(1)), "", "0.5"),
        (NumberRule(literals=frozenset({Decimal(8080), Decimal(443)})), "8", "080"),
        (NumberRule(maximum=Decimal(-3)), "", "-3"),
        (NumberRule(minimum=Decimal("1e50")), "1e1", "00"),
        (NumberRule(integer=True), "1.5", "e1"),
        (NumberRule(literals=frozenset({Decimal("1E+300")})), "1", "e300"),
    ],
)
def test_shortest_ending_is_plain(rule: NumberRule, text: str, ending: str) -> None:
    checker = NumberChecker([rule])
    assert checker.endings(run(checker, text), 1)[0] == ending


def test_values_that_no_rule_looks_at_share_states() -> None:
    checker = NumberChecker([NumberRule(), NumberRule(minimum=Decimal(0))])
    assert run(checker, "123") == run(checker, "4")
    assert run(checker, "0.25e7") == run(checker, "31.5e-300")
    integers = NumberChecker([NumberRule(integer=True)])
    assert run(integers, "-17") == run(integers, "4")


def test_failed_rules_are_no_longer_told_apart() -> None:
    checker = NumberChecker([NumberRule(maximum=Decimal(50), integer=True, minimum=Decimal(20))])
    assert run(checker, "7") == run(checker, "61234")


@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "0." + "1" * 70, "9" * 70, "1e" + "9" * 5000])
def test_huge_numbers_take_no_time_and_fail_what_looks_at_them(text: str) -> None:
    started = time.process_time()
    checker = NumberChecker([NumberRule(multiple_of=Decimal("0.3")), NumberRule()])
    state = run(checker, text)
    assert (checker.failed(state), checker.unmet(state)) == (1, 1)
    assert checker.endings(state, 1) == []
    assert time.process_time() - started < 1  # about 10 ms


@pytest.mark.parametrize("far", ["1e999999999", "1e-999999999", "123456789e400", "Infinity", "-1e99999"])
def test_far_bounds_take_no_time(far: str) -> None:
    started = time.process_time()
    number = Decimal(far)
    checker = NumberChecker(
        [
            NumberRule(minimum=number, multiple_of=number),
            NumberRule(maximum=number, exclusive_minimum=number.copy_negate()),
            NumberRule(literals=frozenset({number})),
        ]
    )
    for rule in range(3):
        checker.endings(run(checker, "12"), 1 << rule)
    assert time.process_time() - started < 1  # about 10 ms


def test_bounds_of_many_digits_are_exact() -> None:
    bound = Decimal("12345678901234567890123456789012345678901")
    checker = NumberChecker([NumberRule(minimum=bound), NumberRule(maximum=bound.copy_negate())])
    assert checker.unmet(run(checker, str(bound))) == 2
    assert checker.unmet(run(checker, str(bound)[:-1] + "0")) == 3
    assert checker.unmet(run(checker, f"-{bound}")) == 1
    assert checker.endings(run(checker, str(bound)[:-1]), 1)[0] == "1"


def test_zero_is_zero_whatever_its_exponent() -> None:
    checker = NumberChecker([NumberRule(maximum=Decimal(0), minimum=Decimal(0), multiple_of=Decimal(3))])
    assert checker.unmet(run(checker, "-0.00e99999999")) == 0


def test_enum_of_many_numbers_is_followed_in_time() -> None:
    started = time.process_time()
    checker = NumberChecker([NumberRule(literals=frozenset(map(Decimal, range(100_000))))])
    assert checker.endings(run(checker, "9999"), 1) == ["", *"0123456789", ".0", "e0"]
    assert time.process_time() - started < 4  # about 0.5 s
