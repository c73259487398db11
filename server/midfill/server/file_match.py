"""Which files a list of patterns means: `fileMatch`, as in VS Code's `json.schemas`."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

from midfill.server.gitignore import Rule, parse_rules

MAX_ALTERNATIVES = 64
"""Of one pattern's braces; more are not looked at."""
MAX_PATTERN_CHARS = 1024
"""A longer pattern matches nothing."""

_BRACES = re.compile(r"\{([^{}]*)\}")


def fits(patterns: Sequence[str], path: Path, roots: Sequence[Path]) -> bool:
    """Whether the last pattern that matches the file is none with an exclamation mark. Pure.

    A pattern matches the end of the path, at a slash; one that starts with a slash, all of it below a root. Stars are
    those of .gitignore, braces hold alternatives.
    """
    whole = path.as_posix().lstrip("/")
    below = [path.relative_to(root).as_posix() for root in roots if path.is_relative_to(root)]
    for pattern in reversed(patterns):
        bare = re.sub(r"\A!?(\./)?", lambda found: "/" if found[1] else "", pattern)
        names = below if bare.startswith("/") else [whole]
        if any(rule.matches(name) for rule in _rules(bare) for name in names):
            return not pattern.startswith("!")
    return False


@lru_cache(maxsize=1024)
def _rules(pattern: str) -> Sequence[Rule]:
    if not 0 < len(pattern) <= MAX_PATTERN_CHARS:
        return ()
    rooted = pattern if pattern.startswith("/") else f"**/{pattern}"
    return parse_rules(islice(_alternatives(rooted), MAX_ALTERNATIVES), "fileMatch")


def _alternatives(pattern: str) -> Iterator[str]:
    """The pattern once for each way through its braces, in order."""
    waiting = [pattern]
    while waiting:
        pattern = waiting.pop()
        found = _BRACES.search(pattern)
        if found is None:
            yield pattern
            continue
        parts = found[1].split(",", MAX_ALTERNATIVES)[:MAX_ALTERNATIVES]
        waiting += [pattern[: found.start()] + part + pattern[found.end() :] for part in reversed(parts)]
