"""Accepting what is shown, whole and in part, and choosing between candidates."""

import sys
from pathlib import Path

import pytest
from tests.editors.nvim.conftest import Start
from tests.editors.nvim.neovim import Neovim, until

pytestmark = pytest.mark.editors
BODY = "\n    total = a + b\n    return total"
HEAD = "def add(a, b):"
NOTE_NOTIFICATIONS = """
vim.g.told = {}
vim.api.nvim_create_autocmd("LspNotify", { callback = function(event)
  vim.g.told = vim.list_extend(vim.g.told, { event.data.method })
end })
"""


def test_tab_accepts_all_lines_and_puts_the_cursor_behind_them(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.keys(f"i{HEAD}")
    nvim.shows(BODY)
    nvim.keys("<Tab>")
    assert nvim.lines == [HEAD, "    total = a + b", "    return total"]
    assert nvim.cursor == (3, len("    return total"))
    assert nvim.ghost() == ""


def test_one_undo_takes_back_what_was_accepted_and_no_more(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.keys(f"i{HEAD}")
    nvim.shows(BODY)
    nvim.keys("<Tab><Esc>u")
    assert nvim.lines == [HEAD]


def test_keys_typed_right_before_tab_are_not_doubled(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.keys("ianswer = ")
    nvim.shows("forty_two")
    nvim.keys("for<Tab> + 1")
    assert nvim.lines == ["answer = forty_two + 1"]


def test_tab_after_something_else_was_typed_is_a_tab(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.api.command("setlocal expandtab shiftwidth=4 softtabstop=4")
    nvim.keys("ianswer = ")
    nvim.shows("forty_two")
    nvim.keys("12<Tab>")
    assert nvim.lines == ["answer = 12 "]


def test_a_word_then_a_line_then_the_rest_and_the_ghost_stays_between(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.keys(f"i{HEAD}")
    nvim.shows(BODY)
    nvim.keys("<M-Right>")
    assert nvim.lines == [HEAD, "    total"]
    assert nvim.ghost() == " = a + b\n    return total"
    nvim.keys("<M-C-Right>")
    assert nvim.lines == [HEAD, "    total = a + b"]
    assert nvim.ghost() == "\n    return total"
    nvim.keys("<M-C-Right>")
    assert nvim.lines == [HEAD, "    total = a + b", "    return total"]
    assert nvim.ghost() == ""


def test_the_rest_after_a_word_is_still_there_when_the_server_has_answered(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.keys(f"i{HEAD}")
    nvim.shows(BODY)
    answers = nvim.answers()
    nvim.keys("<M-Right>")
    until(lambda: nvim.answers() > answers, "the server's answer")
    nvim.shows(" = a + b\n    return total")
    nvim.keys("<Tab>")
    assert nvim.lines == [HEAD, "    total = a + b", "    return total"]


def test_the_server_is_told_what_was_accepted(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.lua(NOTE_NOTIFICATIONS)
    nvim.keys(f"i{HEAD}")
    nvim.shows(BODY)
    nvim.keys("<M-Right>")
    assert "textDocument/didPartiallyAcceptCompletion" in nvim.api.vars["told"]


def test_tab_does_what_it_was_mapped_to_where_nothing_is_shown(start: Start, script: Path) -> None:
    nvim = start()
    nvim.api.command("inoremap <expr> <Tab> 'mapped'")
    nvim.setup(script)
    nvim.open("a.py")
    nvim.keys("i1<Tab>")
    assert nvim.lines == ["1mapped"]


def test_meta_keys_do_nothing_where_nothing_is_shown(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.keys("i1<M-]><M-Right>2")
    assert nvim.lines == ["12"]


def test_next_and_previous_candidate_are_shown_and_accepted(start: Start, script: Path) -> None:
    nvim = start()
    server = Path(__file__).with_name("two_candidates.py")
    nvim.setup(script, cmd=[sys.executable, str(server)])
    nvim.open("a.py")
    nvim.keys("ix = ")
    nvim.shows("one")
    nvim.keys("<M-]>")
    assert nvim.ghost().startswith("two")
    nvim.keys("<M-[>")
    assert nvim.ghost().startswith("one")
    nvim.keys("<M-[><Tab>")
    assert nvim.lines == ["x = two"]


def test_a_choice_is_asked_for_and_the_chosen_one_stays_while_typing_along(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.keys("icolour = ")
    nvim.shows("red")
    answers = nvim.answers()
    nvim.keys("<M-Bslash>")
    until(lambda: nvim.answers() > answers, "the choice")
    nvim.keys("<M-]>")
    assert nvim.ghost().startswith("rose")
    answers = nvim.answers()
    nvim.keys("r")
    until(lambda: nvim.answers() > answers, "what is left of the choice")
    assert nvim.ghost().startswith("ose")
    nvim.keys("<Tab>")
    assert nvim.lines == ["colour = rose"]


def test_what_another_server_offers_is_reached_and_accepted_too(start: Start, version: str, script: Path) -> None:
    if version == "0.11":
        pytest.skip("asks only ours")
    nvim = start()
    nvim.setup(script)
    nvim.open("a.py")
    server = Path(__file__).with_name("two_candidates.py")
    nvim.lua("vim.lsp.start({ name = 'other', cmd = {...} })", sys.executable, str(server))
    until(lambda: nvim.lua("return #vim.lsp.get_clients({ name = 'other' })") == 1, "the other server")
    nvim.keys("ianswer = ")
    seen: set[str] = set()

    def all_seen() -> bool:
        nvim.keys("<M-]>")
        seen.add(nvim.ghost().split(" (")[0])
        return seen >= {"one", "two", "forty_two"}

    until(all_seen, "the candidates of both")
    until(lambda: nvim.keys("<M-]>") or nvim.ghost().startswith("two"), "the other's second")
    nvim.keys("<Tab>")
    until(lambda: nvim.lines == ["answer = two"], "the other's second, accepted")
