"""`midfill.engine.seam`: texts as a model might write them, and where they have to end. `|` marks that place."""

import pytest

from midfill.engine.seam import seam

GOES_ON = [
    ("x = ", "\ny = 2\n", "1 + 2"),
    ("print(", ")\n", "len(values), sep=', '"),
    ("def f(values):\n    ", "\n\n\ndef g():\n    pass\n", "total = 0\n    for value in values:\n        pass"),
    ("for a in b:\n        ", "\n    return 1\n", "c(a)\n    d = 2"),  # no deeper than the line that follows
    ("def f():\n    ", "", "return 1\n\ndef g():\n    return 2"),  # nothing follows: the file may go on
    ("def f():\n    ", "\n\n\ndef g():\n    pass\n", "return 1\n\nclass A:"),  # which may stand before what follows
    ("import a\n", "    b = 1\n", "class A:\n    c = 2\n\nclass B:"),
    ("f(", "", "a)"),  # which nobody else closes
    ("items = [\n    ", "\n", "1,\n    2,\n]"),
    ("if (a) {\n    ", "\nb();\n", "c();\n}"),
    ("", "\n", "anything\nat all"),
    ("x = foo(", "\nprint(':)')\n", "a)"),  # a bracket in a string closes none
    ("print(", ")\n", "':)'"),
    ("print(", ")\n", "':)"),  # which may become one
    ("print('", "')\n", "a) b"),
    ("f(", ")  # don't\n", "it's (or not)"),
]


@pytest.mark.parametrize(("prefix", "suffix", "text"), GOES_ON)
def test_a_text_goes_on_as_long_as_it_fits_the_gap(prefix: str, suffix: str, text: str):
    assert seam(prefix, suffix).end(text) is None


ENDS = [
    ("print(", ")\n", "values|)\nprint(1"),
    ("print(", ", sep=' ')\n", "len(values)|)"),
    ("print(", ")\n", "':)'|)"),
    ("f([", "])", "1, 2|]) + 3"),
    ("x = ", "\ny = compute(x)\n", "1|\ny = compute(x)\nz"),
    ("x = ", "\n\n\ndef compute(x):\n    pass\n", "1|\n\n\ndef compute(x):"),
    ("def f():\n    ", "\n    return x\n", "x = 1|\n\n\ndef h():"),
    ("    for a in b:\n        ", "\n    return 1\n", "c(a)|\nd"),
    ("def f():\n    ", "return 2\n", "a = 1\n|def g"),
    ("a: {\n\t", "\n\tb: 1\n}\n", "c: 2,|\nd"),
    ("def f():\r\n    ", "\r\n    return 1\r\n", "a = 1|\r\n\r\ndef"),
]


@pytest.mark.parametrize(("prefix", "suffix", "marked"), ENDS)
def test_a_text_ends_where_it_runs_into_what_follows(prefix: str, suffix: str, marked: str):
    assert seam(prefix, suffix).end(marked.replace("|", "")) == marked.index("|")


def test_what_comes_first_ends_the_text():
    assert seam("f(", ")\nlonger_than_twelve()\n").end("a)\nlonger_than_twelve()") == 1


def test_a_short_suffix_is_not_taken_for_the_text_that_it_happens_to_be():
    assert seam("x = [", "\n]\n").end("1,\n    2") is None


def test_much_white_space_is_not_searched_for_a_head():
    assert seam("x", "\n" * 300 + "some text that is long enough").head == ""


def test_a_line_too_long_to_be_a_line_is_known_by_its_start():
    suffix = "\n" + "word " * 1000
    assert seam("x = 1", suffix).end(" + 2\n" + "word " * 50) == len(" + 2")
