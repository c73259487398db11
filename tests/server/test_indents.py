import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.server.indents import column, indent_of, indented_like, width_of_level

SPACED = ["def f():", "    if x:", "        y"]
TABBED = ["def f():", "\tif x:", "\t\ty"]


@pytest.mark.parametrize(
    ("around", "unit", "line", "indented"),
    [
        (SPACED, None, "\t\ty", "        y"),
        (SPACED, "\t", "\t\ty", "        y"),
        (SPACED, None, "\t  y", "      y"),
        (TABBED, None, "    y", "\ty"),
        (TABBED, "  ", "    y", "\ty"),
        (TABBED, None, " * y", " * y"),
        ([*SPACED, *TABBED], "  ", "\t\ty", "\t\ty"),
        (["x"], None, "\ty", "\ty"),
        (["x"], "  ", "\ty", "  y"),
        (["x"], "\t", "  y", "\ty"),
    ],
)
def test_indentation_is_that_of_the_lines_around_else_the_editors(
    around: list[str], unit: str | None, line: str, indented: str
) -> None:
    assert indented_like([line], around, unit, 0) == [indented]


def test_eight_spaces_are_two_tabs_in_a_block_and_one_at_the_margin() -> None:
    assert indented_like(["        y"], TABBED, None, 1) == ["\t\ty"]
    assert indented_like(["        y"], TABBED, None, 0) == ["\ty"]


@pytest.mark.parametrize(
    ("columns", "unit", "width"),
    [([4, 8], None, 4), ([2, 4, 6], None, 2), ([2, 4], "    ", 2), ([3, 6], None, 3), ([8], "  ", 2), ([], None, 4)],
)
def test_a_level_is_as_wide_as_most_indents_allow(columns: list[int], unit: str | None, width: int) -> None:
    assert width_of_level([" " * column + "x" for column in columns], unit) == width


@given(st.text(" \t", max_size=9), st.sampled_from([SPACED, TABBED, ["x"]]), st.sampled_from([None, "\t", "  "]))
def test_only_indentation_changes(indent: str, around: list[str], unit: str | None) -> None:
    line = indented_like([indent + "y z"], around, unit, 1)[0]
    assert line[len(indent_of(line)) :] == "y z"
    assert indented_like([line], around, unit, 1) == [line]
    assert column(line) >= 0
