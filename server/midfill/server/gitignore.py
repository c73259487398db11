"""Git's rules for what is ignored, from the lines of .gitignore files."""

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

STARS_LAST = re.compile(r"(!?(?:.*/)?)(\*\*?)(/?) *")
STAR = "[^/]*"
NEGATED = re.compile(r"\[\^(\]?)")


class Rule(NamedTuple):
    """One line. `ignores` is false for one that starts with an exclamation mark and so brings back."""

    matches: Callable[[str], object]
    """Whether it matches a path relative to its file's folder; folders end with a slash."""
    ignores: bool
    text: str
    origin: str
    """The file it is from."""


def parse_rules(lines: Iterable[str], origin: str) -> list[Rule]:
    """The rules in these lines. Like git, it takes no notice of a pattern that cannot be."""
    rules = [_parse(line.removesuffix("\n").removesuffix("\r"), origin) for line in lines]
    return [rule for rule in rules if rule is not None]


def _parse(line: str, origin: str) -> Rule | None:
    if not line or line.startswith("#"):
        return None  # and pathspec, which takes 12 ms to import, is not asked for
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    try:
        regex, ignores = GitIgnoreSpecPattern.pattern_to_regex(_spelled_out(line))
        if regex is None:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of brackets within brackets
            return Rule(re.compile(_within_names(_straight(regex)), re.DOTALL).fullmatch, bool(ignores), line, origin)
    except (ValueError, re.error):
        return None


def _spelled_out(line: str) -> str:
    """The same pattern without a last part of stars alone, for which pathspec's regex matches the folder above.

    Ours have to match a path in full, so that what stands below an ignored folder is told from the folder.
    """
    line = re.sub(r"\*{3,}", "**", line)  # to git the same, to pathspec not
    found = STARS_LAST.fullmatch(line)
    if found is None:
        return line
    head, stars, slash = found.groups()
    return f"{head}{'**/?*' if stars == '**' else '?*'}{slash}"


def _within_names(regex: str) -> str:
    """The same regex, whose negated sets match no slash: `a[!b]c` is one name."""
    return NEGATED.sub(lambda found: r"[^/\]" if found[1] else "[^/", regex)


def _straight(regex: str) -> str:
    """The same regex, which does not try again where a star ends once it found what stands before the next one.

    The first place is as good as any, and `*a*a*a*a*a*b`, from a hostile repository, would take hours.
    """
    start, *parts = regex.split(STAR)
    return start + "".join(f"{STAR}{part}" if "/" in part else f"(?>{STAR}?{part})" for part in parts)


def ignoring_rule(path: str, rules_in: Callable[[str], Sequence[Rule]]) -> Rule | None:
    """The rule that makes git ignore this file, None if it does not. `path` has slashes and starts at the top.

    `rules_in` is asked for the rules of each folder on the way, the top's "" first. What is in an ignored folder
    cannot be brought back, so it is not asked about folders within.
    """
    scopes: list[tuple[int, Sequence[Rule]]] = []
    level = ""
    for part in re.findall("[^/]+/?", path):
        scopes.append((len(level), rules_in(level)))
        level += part
        rule = _deciding_rule(scopes, level)
        if rule is not None and rule.ignores:
            return rule
    return None


def _deciding_rule(scopes: Sequence[tuple[int, Sequence[Rule]]], level: str) -> Rule | None:
    """The last line that matches, of the deepest folder that has one."""
    for start, rules in reversed(scopes):
        relative = level[start:]
        for rule in reversed(rules):
            if rule.matches(relative):
                return rule
    return None
