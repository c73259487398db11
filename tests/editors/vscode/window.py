"""One window of VS Code, driven by keys and read from the screen."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, TimeoutError
from tests.editors.vscode.until import until

CURSOR = "‸"
"""Stands in a test's text where the cursor goes."""
SCREENSHOTS = Path(__file__).parents[3] / "build/screenshots/vscode"

STATUS = "[id='midfill.midfill.midfill.status']"
INPUT = ".quick-input-widget input[type=text]"
CHOSEN = ".quick-input-list .monaco-list-row.focused"
TOASTS = ".notifications-toasts .notification-list-item"

# The rest of the cursor's line, then whole lines below. VS Code shows spaces as non-breaking ones.
GHOST = """() => {
  const texts = (selector) => [...document.querySelectorAll(`.editor-instance ${selector}`)]
    .map((element) => element.textContent.replaceAll('\\u00a0', ' ').replaceAll('\\u200b', ''));
  return [texts('.ghost-text-decoration').join(''), ...texts('.suggest-preview-text .view-line')].join('\\n');
}"""


class Window:
    """Its waits end as soon as what they wait for is there; what does not come is an AssertionError."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page = page
        self._folder = folder
        self._file = folder
        self._is_new = True

    def open(self, name: str, text: str) -> None:
        """A new file with this text, in the editor, with the cursor at the mark."""
        before, _, after = text.partition(CURSOR)
        self._file = self._folder / name
        self._file.write_text(before + after, newline="")
        self._press("Control+o")
        self.page.wait_for_selector(".quick-input-list .monaco-list-row")
        self.page.fill(INPUT, str(self._file))
        self.page.wait_for_selector(f"{CHOSEN}:has-text('{name}')")
        self._press("Enter")
        self.page.wait_for_selector(f".tab.active:has-text('{name}')")
        self.page.wait_for_selector(".editor-instance .monaco-editor.focused")
        self._go_to(before.count("\n") + 1, len(before) - before.rfind("\n"))
        if self._is_new:
            # VS Code loads what asks for suggestions when it has time, on a busy machine after the first keys. Asked by
            # hand it does so at once.
            self._press("Alt+Backslash")
            self._is_new = False

    def _go_to(self, line: int, column: int) -> None:
        """Both count from 1."""
        self._press("Control+g")
        self.page.fill(INPUT, f":{line}:{column}")
        self._press("Enter")
        self.page.wait_for_selector(f"[id='status.editor.selection']:has-text('Ln {line}, Col {column}')")

    def trust(self) -> None:
        """Says that the folder is trusted, as a person would."""
        self.page.click("[id='status.workspaceTrust']")
        self.page.click(".workspace-trust-editor .monaco-button:text-is('Trust')")
        self.page.wait_for_selector(".workspace-trust-editor :text('You trust this folder')")
        self.page.click(".monaco-modal-editor-block .codicon-close")
        self.page.wait_for_selector(".workspace-trust-editor", state="detached")

    def type(self, text: str) -> None:
        self.page.keyboard.type(text, delay=15)

    def press(self, keys: str, times: int = 1) -> None:
        """`keys` as in "Control+ArrowRight"."""
        for _ in range(times):
            self._press(keys)

    def _press(self, keys: str) -> None:
        self.page.keyboard.press(keys)

    def command(self, title: str) -> None:
        """Runs a command from the palette."""
        self._press("F1")
        self.page.fill(INPUT, f">{title}")
        self.page.wait_for_selector(f"{CHOSEN}:has-text('{title}')")
        self._press("Enter")

    def wait_for_ghost(self, text: str) -> None:
        """Until the suggestion on the screen is this; with an empty text, until there is none."""
        try:
            self.page.wait_for_function(f"text => ({GHOST})() === text", arg=text)
        except TimeoutError:
            raise AssertionError(f"wanted {text!r} as ghost text, got {self.ghost()!r}") from None

    def ghost(self) -> str:
        """The suggestion on the screen, as far as it is not typed yet."""
        return self.page.evaluate(GHOST)

    def wait_for_some_ghost(self) -> str:
        """What is suggested, once something is: for a real model, whose answer is its own."""
        return until(lambda: self.ghost().strip(), "ghost text")

    def wait_for_line(self, text: str) -> None:
        """Until a line of the editor, as the screen shows it, is this."""
        lines = "[...document.querySelectorAll('.editor-instance .view-lines > .view-line')]"
        self.page.wait_for_function(
            f"text => {lines}.some(line => line.textContent.replaceAll('\u00a0', ' ') === text)", arg=text
        )

    def wait_for_status(self, part: str) -> str:
        """What the status bar item says to a screen reader, once that holds `part`."""
        item = self.page.wait_for_selector(f"{STATUS}[aria-label*='{part}']")
        assert item is not None
        return item.get_attribute("aria-label") or ""

    def wait_for_message(self, part: str) -> str:
        """The text of a notification that holds `part`."""
        toast = self.page.wait_for_selector(f"{TOASTS}:has-text('{part}')")
        assert toast is not None
        return toast.inner_text()

    def dismiss_messages(self) -> None:
        self.command("Notifications: Clear All Notifications")
        self.page.wait_for_selector(TOASTS, state="detached")

    def click(self, selector: str) -> None:
        self.page.click(selector)

    def wait_for_text(self, text: str) -> None:
        """Until the editor's text is this, seen by way of the file."""
        self._press("Control+s")
        self.page.wait_for_selector(".tab.active:not(.dirty)")
        # A file is emptied before it is written. One that was saved already is written again, with no sign when.
        until(lambda: self._saved() == text, f"the text {text!r}")

    def wait_for_saved(self, is_right: Callable[[str], bool], what: str) -> str:
        """The editor's text, once it is right."""
        self._press("Control+s")
        self.page.wait_for_selector(".tab.active:not(.dirty)")
        until(lambda: is_right(self._saved()), what)
        return self._saved()

    def _saved(self) -> str:
        with self._file.open(newline="") as file:
            return file.read()

    def screenshot(self, name: str) -> Path:
        """The file of a picture that is kept."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        picture = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=picture)
        return picture

    def close(self) -> None:
        self.page.close()
