"""What is selected is written anew, in one edit."""

import pytest
from tests.editors.nvim.neovim import Neovim, until

pytestmark = pytest.mark.editors


def test_the_selected_characters_are_replaced(nvim: Neovim) -> None:
    nvim.open("a.py", "# \U0001f600\ntotal = TODO # \U0001f600 end\n")
    nvim.keys("jfTve<M-Bslash>")
    until(lambda: nvim.lines != ["# \U0001f600", "total = TODO # \U0001f600 end"], "an edit")
    assert nvim.lines == ["# \U0001f600", "total = sum(values) # \U0001f600 end"]


def test_one_undo_brings_the_old_text_back(nvim: Neovim) -> None:
    nvim.open("a.py", "total = TODO\n")
    nvim.keys("fTve<M-Bslash>")
    until(lambda: nvim.lines == ["total = sum(values)"], "an edit")
    nvim.keys("u")
    assert nvim.lines == ["total = TODO"]


def test_selected_lines_are_replaced_and_their_last_line_end_stays(nvim: Neovim) -> None:
    nvim.open("a.py", "class Point:\n    pass\n    pass\nlast = 1\n")
    nvim.keys("jVj<M-Bslash>")
    until(lambda: "pass" not in "".join(nvim.lines), "an edit")
    assert nvim.lines == ["class Point:", "    x = 0", "    y = 0", "last = 1"]


def test_a_selection_with_nothing_to_fill_it_is_left_alone_and_said(nvim: Neovim) -> None:
    nvim.open("a.py", "nothing fits\n")
    nvim.keys("ve<M-Bslash>")
    until(lambda: "midfill" in nvim.messages().lower(), "a message")
    assert nvim.lines == ["nothing fits"]


def test_a_block_is_refused(nvim: Neovim) -> None:
    nvim.open("a.py", "one\ntwo\n")
    nvim.keys("<C-v>j<M-Bslash>")
    until(lambda: "select characters or whole lines" in nvim.messages(), "a message")
    assert nvim.lines == ["one", "two"]
