import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.server.balance import Balance, is_even

BEGUN = ["function one() {", "  if (ready) {"]


def balance(before: str, after: str = "", above: list[str] | None = None, below: list[str] | None = None) -> Balance:
    return Balance(above or [], before, after, below or [], knows_start=True)


@pytest.mark.parametrize(
    ("line", "is_it"),
    [
        ("f(a[0], {})", True),
        ("f(a[0]", False),
        ("f(a))", False),
        (")(", False),
        ('print("(")', True),
        ("print(')') // isn't it", True),
        ("`${(}`", True),
        (r'print("\"(")', True),
        ("", True),
    ],
)
def test_a_line_is_even_if_each_bracket_outside_strings_has_its_partner_on_it(line: str, is_it: bool) -> None:
    assert is_even(line) is is_it


@pytest.mark.parametrize(
    ("text", "cost"), [("a", 0), ("a)", 1), ("a))", 2), ("(a", 1), ('"a', 1), ("it's", 0), ('"a"', 0)]
)
def test_each_bracket_and_quote_without_a_partner_costs(text: str, cost: int) -> None:
    assert balance("f(", ")").cost(text) == cost


def test_what_is_replaced_does_not_cost() -> None:
    assert balance("f(", ")").cost("a)", 1) == 0


def test_a_closer_that_leads_its_line_does_not_close_what_is_deeper() -> None:
    here = balance("    ", above=BEGUN, below=["}"])
    assert here.cost("go()\n  }") == 0
    assert here.cost("go()") == 1


def test_a_closer_askew_of_its_partner_costs() -> None:
    whole = balance("    ", above=["switch (x) {", *BEGUN], below=["  }", "}", "}"])
    assert whole.cost("go()\n  }") > whole.cost("go()")


def test_a_brace_after_a_condition_over_two_lines_belongs_to_its_first() -> None:
    above = ["if (one &&", "    two) {"]
    assert balance("  ", above=above, below=["}"]).cost("go()") == 0


def test_a_closer_of_what_began_above_all_known_lines_does_not_cost() -> None:
    here = Balance(["    if (ready) {"], "      ", "", ["  }", "}"], knows_start=False)
    assert here.cost("go()\n    }") == 0


@given(st.text("()[]{}\"'` a\\\n", max_size=40), st.text("()[]{}\"' a", max_size=8), st.integers(0, 8))
def test_any_text_costs_something_or_nothing(text: str, after: str, replaced: int) -> None:
    assert balance("f(", after, BEGUN, ["}"]).cost(text, replaced) >= 0
