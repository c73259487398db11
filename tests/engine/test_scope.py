"""`midfill.engine.scope`: texts as a model might write them, and how much of them is in scope. `|` marks the end."""

import pytest

from midfill.engine.scope import FillScope, ends_at, scope_of
from midfill.engine.seam import seam
from midfill.engine.wire import Scope


def kind(prefix: str, suffix: str, language: str | None = "python") -> str:
    return scope_of(prefix, suffix, language).kind


def end(prefix: str, suffix: str, text: str, language: str | None, asked: Scope = "auto") -> int | None:
    return ends_at(scope_of(prefix, suffix, language, asked), seam(prefix, suffix), text)


KINDS = [
    ("python", "x = ", "\ny = 1\n", "block"),  # of the statement, should it open one
    ("python", "x = foo(", ", b)\n", "line"),
    ("python", "x = foo(", ")\n", "block"),
    ("python", "if x", ":\n    pass\n", "line"),  # whose block is there already
    ("python", "if x:", "\n    pass\n", "block"),  # which it may begin
    ("javascript", "if (x) {", "}\n", "block"),
    ("python", "def f():\n    ", "\n", "block"),
    ("python", "import a\n", "\nimport b\n", "any"),
    ("python", "# the ", "\nx = 1\n", "line"),
    ("python", "x = 'the ", "'\n", "line"),
    ("python", '"""The ', '\n"""\n', "line"),
    ("javascript", "/*\n * the ", "\n */\n", "line"),
    ("rust", "fn f<'a>(x: ", "\n", "block"),  # no string begins there
    ("javascript", "glob('src/**/*.ts');\nx = ", "\n", "block"),  # nor a comment
    ("markdown", "The ", "\n", "line"),
    ("markdown", "The end.\n\n", "\n", "block"),
]


@pytest.mark.parametrize(("language", "prefix", "suffix", "expected"), KINDS)
def test_the_text_around_the_cursor_says_how_far_a_fill_may_go(
    language: str, prefix: str, suffix: str, expected: str
) -> None:
    assert kind(prefix, suffix, language) == expected


IN_SCOPE = [
    ("python", "x = ", "\ny = 2\n", "[\n1,\n2,\n]"),  # a bracket that it opens
    ("python", "x = ", "\ny = 2\n", '"""\nnot indented\n"""'),
    ("python", "if x", "\ny = 2\n", " > 0:\n    y = 1\nelse:\n    y = 3"),  # a block that it opens
    ("python", "x = ", "\ny = 2\n", "1 + \\\n2"),
    ("javascript", "x = ", "\ny = 2\n", "a\n  .b()\n  .c();"),
    ("javascript", "x = ", "\ny = 2\n", "a +\nb"),
    ("javascript", "if (x) {", "", "\n  a();\n} else {\n  b();\n}"),
    ("cpp", "for (;;) {", "", "\na();\nb();\n}"),  # which nobody has to indent
    ("javascript", "f(function () {", "})\n", "\n  a();\n  b();\n"),
    ("python", "def f():\n    ", "", 'a = 1\n\n    b = """\nnot indented\n"""\n    return a'),
    ("python", "x = 1", "", "\ny = 2\nz = 3"),  # beside a line that is whole
    ("python", "import a\n", "\nimport b\n", "def f():\n    pass\n\n\ndef g():\n    pass\n"),
    ("ruby", "def f(a)", "", "\n  a + 1\nend"),
    ("yaml", "items:", "\n", "\n- a\n- b"),
    ("json", '{"a": ', "\n}\n", '[\n1,\n{"b": 2}\n]'),
    ("python", "f('", "')\n", "(a"),
    ("python", "f('", "')\n", "a', [\n1\n]"),
    ("markdown", "The end.\n\n", "\n", "A paragraph\nof two lines (or\n"),
    (None, "x = ", "\ny\n", "1"),
]


@pytest.mark.parametrize(("language", "prefix", "suffix", "text"), IN_SCOPE)
def test_a_fill_goes_on_with_what_it_opens(language: str | None, prefix: str, suffix: str, text: str) -> None:
    assert end(prefix, suffix, text, language) is None


OUT_OF_SCOPE = [
    ("python", "x = ", "\ny = 2\n", "1|\nz = 3"),
    ("python", "x = ", "\ny = 2\n", "[\n1,\n]|\nz = 3"),
    ("python", "if x", "\ny = 2\n", " > 0:\n    y = 1|\nz = 3"),
    ("python", "    if x", "\n    y = 2\n", " > 0:\n        y = 1|\n    z = 3"),
    ("python", "if x", ":\n    pass\n", " > 0:|\n    pass"),
    ("python", "if x", ":\n    pass\n", " > 0|\n    and y"),
    ("python", "x = foo(", ", b)\n", "a,|\n    c"),
    ("python", "def f():\n    if x:\n        ", "", "a = 1\n        b = 2|\n    return a"),
    ("python", "def f():\n    ", "", "return 1|\n\n\ndef g():"),
    ("python", "def f():", "", "\n    return 1|\n\n\ndef g():"),
    ("javascript", "function f() {", "", "\n  return 1;\n}|\n\nfunction g() {"),
    ("javascript", "function f() {\n  ", "", "return 1;\n}|\nfunction g() {"),
    ("go", "\tif err != nil {", "", "\r\n\t\treturn err\r\n\t}|\r\n\r\n\treturn nil"),
    ("go", "\ti", "\n", "++|\n\tj++"),  # no sum that goes on
    ("ruby", "def f(a)", "", "\n  a + 1\nend|\n\ndef g"),
    ("yaml", "a:\n  ", "", "b: 1\n  c: 2|\nd: 3"),
    ("json", '{\n  "a": ', "\n}\n", '[\n    1\n  ],|\n  "b": 2'),
    ("python", "# the ", "\n", "sum (of|\nx = 1"),
    ("python", "x = 1  # the ", "\n", "sum|\ny = 2"),
    ("javascript", "// don't ", "\n", "ask|\nx = 1"),
    ("lua", "-- don't ", "\n", "ask|\nx = 1"),
    ("python", 'def f():\n    """Gives ', "", 'it (at last.|\n\n    More."""'),
    ("python", 'def f():\n    """Gives it.\n\n    ', "", 'More."""\n    return 1|\n\n\ndef g():'),
    ("javascript", "/*\n * the ", "", "sum (of|\n * all"),
    ("javascript", "x = `a ", "", "(${b}|\nc`;"),
    ("rust", "fn f<'a>(x: ", "", "&'a str) {\n    g(x);\n}|\nfn h() {"),
    ("markdown", "The ", "\n", "end (of it.|\n\nMore"),
    ("markdown", "The end.\n\n", "\n", "A paragraph\nof two lines.|\n\nMore"),
    (None, "x = ", "\ny\n", "1|\nz"),
]


@pytest.mark.parametrize(("language", "prefix", "suffix", "marked"), OUT_OF_SCOPE)
def test_a_fill_ends_where_its_scope_does(language: str | None, prefix: str, suffix: str, marked: str) -> None:
    assert end(prefix, suffix, marked.replace("|", ""), language) == marked.index("|")


@pytest.mark.parametrize(
    ("asked", "marked"),
    [
        ("line", "\n    a = 1|\n    b = 2\nc = 3"),
        ("block", "\n    a = 1\n    b = 2|\nc = 3"),
        ("any", "\n    a\nb\nc|"),
    ],
)
def test_what_is_asked_for_comes_before_what_the_text_says(asked: Scope, marked: str) -> None:
    assert (end("def f():", "", marked.replace("|", ""), "python", asked) or len(marked) - 1) == marked.index("|")


def test_the_seam_may_end_a_fill_before_its_scope_does() -> None:
    prefix, suffix = "def f(values):\n    print(", ")\n    return values\n"
    assert end(prefix, suffix, "values)\n    return values", "python") == len("values")


def test_the_line_break_before_a_line_that_follows_is_of_the_fill() -> None:
    assert end("def f():\n    ", "return 2\n", "a = 1\nb = 2", "python") == len("a = 1\n")


def test_a_window_that_begins_within_a_docstring_does_not_turn_code_into_text() -> None:
    prefix = 'of the values.\n    """\n    return 0\n\n\ndef f(values):\n    return '
    assert scope_of(prefix, "\n", "python").within == ""
    assert scope_of(prefix + '"""of ', "\n", "python").within == '"""'


def test_a_text_as_it_grows_ends_nowhere_before_its_end() -> None:
    for language, prefix, suffix, marked in OUT_OF_SCOPE:
        scope, length = scope_of(prefix, suffix, language), marked.index("|")
        assert all(_grown(scope, prefix, suffix, marked[:size]) is None for size in range(length)), marked


def _grown(scope: FillScope, prefix: str, suffix: str, text: str) -> int | None:
    return ends_at(scope, seam(prefix, suffix), text)
