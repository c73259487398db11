"""Windows, the language server of each, and the engine that they share."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.editors.vscode.until import until

if TYPE_CHECKING:
    from tests.editors.vscode.window import Window
    from tests.editors.vscode.workbench import Home

pytestmark = pytest.mark.editors


def assert_suggests(window: Window, name: str) -> None:
    window.open(name, "‸\n")
    window.type("mean = ")
    window.wait_for_ghost("total / count")


def test_the_status_bar_shows_ready_and_the_last_latency(window: Window) -> None:
    assert_suggests(window, "latency.py")
    label = window.wait_for_status("The last suggestion took")
    assert re.search(r"Midfill is ready\..* took (< 1|\d+) ms", label)
    window.screenshot("status-bar")


def test_two_windows_share_one_engine(window: Window, home: Home, open_window: Callable[[Path], Window]) -> None:
    engine = home.engine()
    folder = home.path / "other"
    folder.mkdir()
    second = open_window(folder)
    second.wait_for_status("ready")
    assert_suggests(second, "second.py")
    assert_suggests(window, "first.py")
    both = home.engine()
    assert both["pid"] == engine["pid"]
    assert both["clients"] == engine["clients"] + 1
    second.screenshot("second-window")


def test_an_engine_that_was_killed_is_back_for_the_next_key(window: Window, home: Home) -> None:
    killed = home.engine()["pid"]
    os.kill(killed, signal.SIGKILL)
    assert_suggests(window, "back.py")
    assert home.engine()["pid"] != killed
    window.wait_for_status("ready")


def test_a_language_server_that_was_killed_is_started_again(window: Window, home: Home) -> None:
    (killed,) = home.language_servers()
    os.kill(killed, signal.SIGKILL)
    window.wait_for_status("starting")
    window.wait_for_status("ready")
    assert home.language_servers() not in ([], [killed])
    assert_suggests(window, "new-server.py")


def test_a_restart_serves_the_open_file_again(window: Window) -> None:
    window.open("again.py", "‸\n")
    window.command("Midfill: Restart")
    window.wait_for_status("starting")
    window.wait_for_status("ready")
    window.type("mean = ")
    window.wait_for_ghost("total / count")


def test_a_pause_shows_nothing_until_it_is_over(window: Window, home: Home) -> None:
    window.open("paused.py", "‸\n")
    answered = home.engine()["answered"]
    window.command("Midfill: Pause")
    window.wait_for_status("paused")
    window.type("mean = ")
    window.screenshot("paused")
    window.command("Midfill: Resume")
    window.wait_for_status("ready")
    assert window.ghost() == ""
    assert home.engine()["answered"] == answered
    window.press("Backspace")
    window.type(" ")
    window.wait_for_ghost("total / count")


def test_the_menu_opens_from_the_status_bar(window: Window) -> None:
    window.click("[id='midfill.midfill.midfill.status']")
    window.page.wait_for_selector(".quick-input-list :text('Show Statistics')")
    window.screenshot("menu")
    window.press("Escape")


def test_the_statistics_are_shown_in_a_terminal(window: Window) -> None:
    assert_suggests(window, "counted.py")
    window.command("Midfill: Show Statistics")
    window.page.wait_for_selector(".xterm-rows :text('on this machine only')")
    window.screenshot("statistics")
    window.command("Terminal: Kill All Terminals")
    window.page.wait_for_selector(".xterm-rows", state="detached")


def test_a_workspace_that_is_not_trusted_names_no_program(home: Home, open_window: Callable[[Path], Window]) -> None:
    folder = home.path / "stranger"
    programs = folder / ".venv/bin"
    programs.mkdir(parents=True)
    (folder / ".vscode").mkdir()
    (folder / ".vscode/settings.json").write_text('{"midfill.command": "${workspaceFolder}/.venv/bin/midfill"}')
    (programs / "midfill").write_text(f'#!/bin/sh\ntouch "{folder}/ran"\n')
    (programs / "midfill").chmod(0o700)
    window = open_window(folder)
    window.wait_for_status("ready")
    assert_suggests(window, "limited.py")
    assert not (folder / "ran").exists()
    window.trust()
    until((folder / "ran").exists, "the trusted program to run")


def test_a_missing_program_is_told_with_what_helps(home: Home, open_window: Callable[[Path], Window]) -> None:
    folder = home.path / "lost"
    (folder / ".vscode").mkdir(parents=True)
    (folder / ".vscode/settings.json").write_text('{"midfill.command": "/nowhere/midfill"}')
    window = open_window(folder)
    window.trust()
    assert "/nowhere/midfill" in window.wait_for_message("there is no such program")
    window.wait_for_status("Midfill does not work")
    window.screenshot("missing")
    window.click(".notifications-toasts :text('How to Install')")
    window.page.wait_for_selector(":text('Install the midfill program')")
    window.screenshot("walkthrough")
