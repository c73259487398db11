"""Ghost text comes, follows what is typed, and goes."""

from pathlib import Path

import pytest
from tests.editors.nvim.conftest import Start
from tests.editors.nvim.neovim import Neovim, engine_status, until

pytestmark = pytest.mark.editors
BODY = "\n    total = a + b\n    return total"


def test_typing_brings_ghost_text_that_is_not_in_the_file(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.keys("idef add(a, b):")
    nvim.shows(BODY)
    assert nvim.lines == ["def add(a, b):"]


def test_all_lines_of_it_are_on_the_screen(nvim: Neovim) -> None:
    nvim.open("a.py", "\nlast = 1\n")
    nvim.keys("idef add(a, b):")
    nvim.shows(BODY)
    screen = [line.rstrip() for line in nvim.screen()[:4]]
    assert screen == ["def add(a, b):", "    total = a + b", "    return total", "last = 1"]


def test_what_is_typed_before_the_server_is_up_brings_ghost_text(start: Start, script: Path) -> None:
    nvim = start()
    nvim.setup(script)
    nvim.open("a.py", served=False)
    nvim.keys("ianswer = ")
    nvim.shows("forty_two")


def test_escape_hides_it(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.keys("ianswer = ")
    nvim.shows("forty_two")
    nvim.keys("<Esc>")
    nvim.shows("")
    assert nvim.lines == ["answer = "]


def test_it_comes_again_where_insert_mode_is_entered(nvim: Neovim) -> None:
    nvim.open("a.py", "answer = \n")
    nvim.keys("A")
    nvim.shows("forty_two")
    nvim.keys("<Esc>")
    nvim.shows("")
    nvim.keys("A")
    nvim.shows("forty_two")


def test_dismiss_hides_it_and_stays_in_insert_mode(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.keys("ianswer = ")
    nvim.shows("forty_two")
    nvim.keys("<C-]>")
    assert nvim.ghost() == ""
    nvim.keys("1")
    assert nvim.lines == ["answer = 1"]


def test_what_was_dismissed_comes_again_only_where_it_is_asked_for(nvim: Neovim) -> None:
    nvim.open("a.py", "answer = \n")
    nvim.keys("A")
    nvim.shows("forty_two")
    nvim.keys("<C-]>")
    answers = nvim.answers()
    nvim.keys("<Esc>A")
    until(lambda: nvim.answers() > answers, "an answer")
    assert nvim.ghost() == ""
    nvim.keys("<M-Bslash>")
    nvim.shows("forty_two")


def test_typing_along_keeps_the_rest_and_asks_the_engine_nothing(nvim: Neovim, env: dict[str, str]) -> None:
    nvim.open("a.py")
    nvim.keys("idef add(a, b):")
    nvim.shows(BODY)
    answered = engine_status(env)["answered"]
    for typed, left in (("<CR>", BODY[5:]), ("to", BODY[7:]), ("t", BODY[8:])):
        answers = nvim.answers()
        nvim.keys(typed)
        assert nvim.ghost() == left, "at once, before the server can answer"
        until(lambda before=answers: nvim.answers() > before, "the server's answer")
        assert nvim.ghost() == left
    assert engine_status(env)["answered"] == answered


def test_typing_something_else_hides_it_at_once(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.keys("ianswer = ")
    nvim.shows("forty_two")
    nvim.keys("1")
    assert nvim.ghost() == ""


def test_asking_by_key_brings_it_where_typing_does_not(nvim: Neovim) -> None:
    nvim.open("a.py", "answer = x\n")
    nvim.keys("A<BS>")  # nothing is suggested after a deletion
    assert nvim.lines == ["answer = "]
    nvim.keys("<M-Bslash>")
    nvim.shows("forty_two")


def test_brackets_are_not_doubled_in_the_middle_of_a_line(nvim: Neovim) -> None:
    nvim.open("a.py", "print() # end\n")
    nvim.keys("f)i")
    nvim.shows('"hello"')
    assert nvim.screen()[0].rstrip() == 'print("hello") # end'
    nvim.keys("<Tab>")
    assert nvim.lines == ['print("hello") # end']


def type_a_bracket_that_is_closed(nvim: Neovim) -> int:
    """Types along with a suggestion; returns how many answers had come before that."""
    nvim.open("a.py")
    nvim.api.command("inoremap <buffer> ( ()<C-g>U<Left>")
    nvim.keys("itotal = ")
    nvim.shows("sum(values)")
    answers = nvim.answers()
    nvim.keys("sum(")
    assert nvim.lines == ["total = sum()"]
    return answers


def test_a_bracket_that_a_plugin_closes_is_not_doubled(nvim: Neovim) -> None:
    type_a_bracket_that_is_closed(nvim)
    assert nvim.screen()[0].rstrip() == "total = sum(values)"


def test_ghost_text_stays_after_a_plugin_closed_a_bracket(nvim: Neovim) -> None:
    answers = type_a_bracket_that_is_closed(nvim)
    until(lambda: nvim.answers() > answers, "the server's answer")
    assert nvim.ghost() == "values"
    nvim.keys("<Tab>")
    assert nvim.lines == ["total = sum(values)"]


def test_tabs_are_drawn_as_wide_as_they_are(nvim: Neovim) -> None:
    nvim.open("Makefile")
    nvim.keys("iall:")
    until(nvim.ghost, "ghost text")
    assert [line.rstrip() for line in nvim.screen()[:2]] == ["all:", "        echo done"]


def test_positions_behind_wide_characters_are_right(nvim: Neovim) -> None:
    nvim.open("a.py", "# \U0001d4b3\U0001f600e\u0301 answer = |after\n")
    nvim.keys("f|i")
    nvim.shows("forty_two")
    nvim.keys("<Tab>")
    assert nvim.lines == ["# \U0001d4b3\U0001f600e\u0301 answer = forty_two|after"]


def test_line_ends_of_a_dos_file_stay(nvim: Neovim) -> None:
    path = nvim.open("a.py", "x = 1\r\n\r\n")
    nvim.keys("jidef add(a, b):")
    nvim.shows(BODY)
    nvim.keys("<Tab>")
    nvim.api.command("write")
    assert path.read_bytes() == b"x = 1\r\ndef add(a, b):\r\n    total = a + b\r\n    return total\r\n"
