"""`midfill.engine.syntax`: fills that break the syntax around them, and those that do not."""

import logging
import subprocess
import sys
from time import thread_time

import pytest

from midfill.engine.syntax import (
    GRAMMARS,
    LONGEST_S,
    NEAR,
    SyntaxCheck,
    _errors,
    _in_time,
)

CHECK = SyntaxCheck()


@pytest.mark.parametrize(
    ("language", "prefix", "suffix", "right", "wrong"),
    [
        ("python", "def f(a, b):\n    return ", "\n\nf(1, 2)\n", "a + b", "a + )"),
        ("python", "total = sum(", ")\n", "values", "values)"),
        ("python", "if a:\n    ", "\nelse:\n    b()\n", "a()", "else:"),
        ("javascript", "const f = (a) => {\n  return ", "\n}\n", "a * 2;", "a * 2; }"),
        ("typescript", "function f(a: ", "): void {}\n", "string", "string) {"),
        ("typescriptreact", "const x = <div>", "</div>;\n", "{name}", "{name</b>"),
        ("javascriptreact", "const x = <div>", "</div>;\n", "{name}", "{name</b>"),
        ("json", '{"a": ', ', "b": 2}\n', "[1]", '1, "c"'),
        ("jsonc", '{"a": ', ', // that\n"b": 2}\n', "[1]", "[1"),
        ("go", "package a\n\nfunc f(a int) int {\n\treturn ", "\n}\n", "a + 1", "a + }"),
        ("rust", "fn f(a: i32) -> i32 {\n    ", "\n}\n", "a + 1", "let = a"),
        ("java", "class A {\n  int f(int a) {\n    ", "\n  }\n}\n", "return a;", "return a; }"),
        ("yaml", "a:\n  - ", "\n  - c\n", "b", "[b"),
        ("shellscript", "if [ -f a ]; then\n  ", "\nfi\n", "cat a", "fi; cat ("),
    ],
)
def test_what_breaks_the_syntax_is_told_from_what_does_not(
    language: str, prefix: str, suffix: str, right: str, wrong: str
):
    good, bad = CHECK.added_errors(language, prefix, suffix, [right, wrong])
    assert good == 0 < bad
    assert CHECK.added_errors(language, prefix, suffix, [right]) == [0]


def test_a_fill_that_mends_the_text_shows_up_those_that_leave_it_broken():
    assert CHECK.added_errors("python", "x = ", "\n", ["3", "= 3"]) == [0, 1]
    assert CHECK.added_errors("python", "x = ", "\n", ["= 3"]) == [0]


def test_errors_elsewhere_are_no_fills_fault():
    broken = "def (:\n    pass\n\n\n"
    assert CHECK.added_errors("python", broken + "x = ", "\n" + broken, ["3", "f(3)"]) == [0, 0]


def test_no_fill_or_an_empty_one_adds_none():
    assert CHECK.added_errors("python", "x = 3", "\n", []) == []
    assert CHECK.added_errors("python", "x = 3", "\n", [""]) == [0]


@pytest.mark.parametrize("language", [None, "", "markdown", "no such language"])
def test_a_language_without_a_grammar_has_no_errors(language: str | None):
    assert CHECK.added_errors(language, "(((", "]]]", ["}", "{"]) == [0, 0]


@pytest.mark.parametrize("language", GRAMMARS)
def test_every_grammar_that_is_named_is_in_the_pack(language: str, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        assert CHECK.added_errors(language, "a ", " b\n", [" "]) == [0]
    assert not caplog.records


def test_a_grammar_that_is_missing_is_logged_once_and_adds_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setitem(GRAMMARS, "python", "no_such_grammar")
    check = SyntaxCheck()
    for _ in range(3):
        assert check.added_errors("python", "x = ", "\n", ["3", "= 3"]) == [0, 0]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_only_what_is_near_the_gap_is_parsed():
    far = "x = = 3\n" * (NEAR.before // 8 + 1)
    prefix, suffix = "x = 3\n" * (NEAR.before // 6), "\nx = 3" * (NEAR.after // 6)
    started = thread_time()
    for first_suffices in (False, True):
        around = far * 1000 + prefix + "x = ", suffix + far * 1000
        assert CHECK.added_errors("python", *around, ["3", "= 3"], first_suffices) == [0, 1]
    assert thread_time() - started < 1  # all of it takes minutes


def test_a_string_that_is_cut_in_two_is_no_error_of_a_fill():
    prefix = 'TEXT = """\n' + "It isn't (code.\n" * (NEAR.before // 10) + '"""\nx = '
    assert CHECK.added_errors("python", prefix, "\n", ["3"], first_suffices=True) == [0]


@pytest.mark.parametrize("line", ["x", "é", "𝒳"])
def test_offsets_are_right_beyond_ascii_and_in_one_long_line(line: str):
    prefix, suffix = f'["{line}", ' * 500, ', "é"' + "]" * 500
    *good, bad = CHECK.added_errors("json", prefix, suffix, [f'"{line}"\n', "1", f'{line}"'])
    assert good == [0, 0]
    assert bad > 0


def test_an_edited_tree_tells_what_a_new_one_does():
    prefix, suffix = "def f(a):\n    b = [\n        a,\n        ", "\n    ]\n    return b\n"
    fills = ["b,", "b,\n        é,", "b]", "(b", "", "b,\n    ]\n    c = [\n"]
    parser = CHECK._parser("python")
    assert parser is not None
    _, *edited = _errors(_in_time(parser), prefix, suffix, fills)
    assert edited == [_errors(_in_time(parser), prefix + fill, suffix, [])[0] for fill in fills]
    assert len(set(edited)) > 1


@pytest.mark.parametrize("lines", [0, 7, 300])
def test_what_was_typed_on_is_told_as_if_nothing_had_been_parsed_before(lines: int):
    check, line, typed = SyntaxCheck(), "total = [é(1), 2]\n", "value = sum([é, 3])\n"
    for end in range(len(typed)):
        around = line * lines + typed[:end], line * 5
        for fills in ([typed[end:], "]"], ["]", typed[end:]], ["x" * end + typed[end:]]):
            found = check.added_errors("python", *around, fills, first_suffices=True)
            CHECK._latest.clear()
            assert found == CHECK.added_errors("python", *around, fills, first_suffices=True)
    assert check.added_errors("python", "x = ", "\n", [")", "3"], first_suffices=True) == [1, 0]


def test_of_fills_behind_a_clean_one_nothing_is_asked_unless_all_are():
    assert CHECK.added_errors("python", "x = ", "\n", ["3", "= 3"], first_suffices=True) == [0, 0]
    assert CHECK.added_errors("python", "x = ", "\n", ["= 3", "3"], first_suffices=True) == [1, 0]
    assert CHECK.added_errors("python", "x = ", "\n", ["3", "= 3"]) == [0, 1]


def test_text_that_takes_a_parser_long_is_given_up_and_the_next_is_checked():
    check = SyntaxCheck()
    check.added_errors("typescript", "", "", ["x"])  # loads the grammar
    started = thread_time()
    assert check.added_errors("typescript", "a<b," * 750, ")}" * 700, ["x", "y = ["]) == [0, 0]
    assert thread_time() - started < 20 * LONGEST_S  # a second and more without an end
    assert check.added_errors("typescript", "x = ", ";\n", ["3", "= 3"]) == [0, 1]


def test_nothing_of_it_is_loaded_before_it_is_needed():
    script = "import sys, midfill.engine.syntax; assert 'tree_sitter' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
