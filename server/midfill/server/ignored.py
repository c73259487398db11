"""Which files stay out: secrets, what git ignores, and what the user excludes."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from midfill.server.gitignore import Rule, ignoring_rule, parse_rules
from midfill.server.secret_files import secret_pattern

FRESH_S = 1.0
"""An answer holds so long before the files behind it are looked at again: they cost 20 system calls."""
MAX_ANSWERS = 4096


class Ignored:
    """Answers for any path, cheaply when asked again. A change of a .gitignore is seen after `FRESH_S`."""

    def __init__(
        self, roots: Sequence[Path], exclude: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.roots = tuple(roots)
        self._tops = {top for root in roots for top in _names(root)}
        self._exclude = parse_rules(exclude, "your settings")
        self._clock = clock
        self._answers: dict[Path, tuple[float, str | None]] = {}
        self._parsed: dict[Path, tuple[object, Sequence[Rule]]] = {}

    def reason(self, path: Path) -> str | None:
        """Why this file stays out, in words for a log; None if it may be filled and shown.

        A link stays out with the file that it leads to. Secrets and what git ignores do so outside the roots too.
        """
        now = self._clock()
        asked_at, reason = self._answers.get(path, (now - FRESH_S, None))
        if now - asked_at >= FRESH_S:
            reason = next(filter(None, map(self._find, _names(path))), None)
            if len(self._answers) >= MAX_ANSWERS:
                self._answers.clear()
            self._answers[path] = (now, reason)
        return reason

    def _find(self, path: Path) -> str | None:
        if pattern := secret_pattern(path):
            return f"its name is a secret's: {pattern}"
        rule = self._excluding_rule(path) or self._git_rule(path)
        return rule and f"ignored by {rule.origin}: {rule.text}"

    def _excluding_rule(self, path: Path) -> Rule | None:
        top = self._root_of(path) or Path(path.anchor)
        return ignoring_rule(_within(top, path), lambda folder: () if folder else self._exclude)

    def _git_rule(self, path: Path) -> Rule | None:
        """Of the repository that the file is in; without one, of the workspace."""
        repository = next((folder for folder in path.parents if _exists(folder / ".git")), None)
        top = repository or self._root_of(path)
        if top is None:
            return None

        def rules_in(folder: str) -> Sequence[Rule]:
            rules = self._rules(top / folder / ".gitignore")
            return rules if folder or not repository else [*self._rules(_exclude_file(top)), *rules]

        return ignoring_rule(_within(top, path), rules_in)

    def _root_of(self, path: Path) -> Path | None:
        """The outermost root that the file is in."""
        return next((folder for folder in reversed(path.parents) if folder in self._tops), None)

    def _rules(self, file: Path) -> Sequence[Rule]:
        """The rules of this file, read again when it changed. One that cannot be read has none."""
        try:
            stat = file.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if self._parsed.get(file, (None,))[0] != stamp:
                text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
                self._parsed[file] = (stamp, parse_rules(text.split("\n"), str(file)))
            return self._parsed[file][1]
        except (OSError, ValueError):
            return ()


def _names(path: Path) -> list[Path]:
    """The path itself, and where its links lead if that is elsewhere."""
    try:
        return list(dict.fromkeys((path.absolute(), path.resolve())))
    except (OSError, RuntimeError, ValueError):  # links in a circle, a null byte
        return [path.absolute()]


def _exists(path: Path) -> bool:
    try:
        return bool(path.stat())
    except (OSError, ValueError):  # Path.exists raises some of them, for a name too long or a folder that is closed
        return False


def _within(top: PurePath, path: PurePath) -> str:
    return path.relative_to(top).as_posix()


def _exclude_file(top: Path) -> Path:
    """`info/exclude` of this repository, or of the one that this worktree or submodule belongs to."""
    git = top / ".git"
    with suppress(OSError, UnicodeDecodeError):  # what leads nowhere excludes nothing
        if git.is_file():
            git = top / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
            git /= (git / "commondir").read_text(encoding="utf-8").strip()  # a submodule has none, and its own rules
    return git / "info" / "exclude"
