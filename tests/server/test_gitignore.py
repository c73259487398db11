"""`midfill.server.gitignore` against `git check-ignore`, which says what the rules mean."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midfill.server.gitignore import ignoring_rule, parse_rules

FOLDERS = [
    "".join(f"{name}/" for name in names) for depth in range(3) for names in product(["a", "b", "ab"], repeat=depth)
]
FILES = [folder + name for folder in FOLDERS for name in ("x", "a.b", "# x", "a" if folder.count("/") == 2 else "xx")]
RULED = ("", "a/", "a/b/")
"""The folders with a .gitignore of their own."""


class Repository:
    """A real one, with the same files for every example."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._environment = {**os.environ, "HOME": str(top), "XDG_CONFIG_HOME": str(top), "GIT_CONFIG_NOSYSTEM": "1"}
        self._git("init", "-q")
        self._git("config", "core.quotePath", "false")
        for file in FILES:
            (top / file).parent.mkdir(parents=True, exist_ok=True)
            (top / file).touch()

    def ignored(self, rules: dict[str, str]) -> set[str]:
        for folder in RULED:
            (self._top / folder / ".gitignore").write_bytes(rules.get(folder, "").encode())
        output = self._git("check-ignore", "--no-index", "--stdin", "-z", stdin="\0".join(FILES))
        return set(output.split("\0")) - {""}

    def _git(self, *arguments: str, stdin: str = "") -> str:
        result = subprocess.run(
            ["git", *arguments], cwd=self._top, env=self._environment, input=stdin, capture_output=True, text=True
        )
        assert result.stderr == ""
        return result.stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("repository"))


def ignored(rules: dict[str, str]) -> set[str]:
    parsed = {folder: parse_rules(text.split("\n"), folder) for folder, text in rules.items()}
    return {file for file in FILES if ignoring_rule(file, lambda folder: parsed.get(folder, []))}


# Two stars stand alone between slashes here. Next to letters, as in a**/b, git's answer depends on a shortcut for
# what stands before the first star. A set does not reach over a slash, and is closed.
ATOMS = st.sampled_from(["a", "b", "ab", ".", "x", "*", "?", "[ab]", "[!a]", "[^b]", "[a-b]", "\\a", "\\*", "#"])
SEGMENTS = st.lists(ATOMS, min_size=1, max_size=3).map("".join).map(lambda text: text.replace("**", "*"))
PARTS = SEGMENTS | st.sampled_from(["a", "b", "*", "**", "***"])
PATTERNS = st.builds(
    lambda sign, start, parts, end: sign + start + "/".join(parts) + end,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "/"]),
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from(["", "", "/", " ", "\\ ", "\r"]),
)
TEXTS = st.lists(PATTERNS, max_size=3).map("\n".join)


@settings(max_examples=60)
@given(rules=st.fixed_dictionaries(dict.fromkeys(RULED, TEXTS)))
def test_any_rules_ignore_what_git_ignores(repository: Repository, rules: dict[str, str]) -> None:
    assert ignored(rules) == repository.ignored(rules)


@pytest.mark.parametrize(
    "rules",
    [
        {"": "a"},
        {"": "/a"},
        {"": "a/"},
        {"": "a/*\n!a/b"},
        {"": "a/**\n!a/b/"},
        {"": "a/\n!a/x"},  # what is in an ignored folder cannot come back
        {"": "a", "a/": "!x"},
        {"": "x", "a/": "!x"},
        {"": "!x", "a/": "x", "a/b/": "!x"},
        {"": "*\n!*/\n!*.b"},
        {"": "**/b/x"},
        {"": "a/**/x"},
        {"": "a/b"},
        {"": "b/x", "a/": "b/x"},
        {"": "*.b"},
        {"": "a[!]x]b\n[!]a]\na[!b]x"},
        {"": "x   "},
        {"": "# x"},
        {"": "\\# x"},
        {"": "a.b\r\nx\r"},
        {"": "!\n\\\n/\nfoo\\\n[z-a]\n[\n\nx"},
    ],
)
def test_known_cases_are_as_in_git(repository: Repository, rules: dict[str, str]) -> None:
    assert ignored(rules) == repository.ignored(rules)


def test_the_rule_that_decides_is_told() -> None:
    rules = parse_rules(["*.log", "build/"], ".gitignore")
    rule = ignoring_rule("src/build/x.py", lambda folder: [] if folder else rules)
    assert rule is not None
    assert (rule.text, rule.origin) == ("build/", ".gitignore")


def test_the_rules_within_an_ignored_folder_are_not_asked_for() -> None:
    asked: list[str] = []
    rules = parse_rules(["node_modules"], "")
    ignoring_rule("a/node_modules/b/c.js", lambda folder: asked.append(folder) or ([] if folder else rules))
    assert asked == ["", "a/"]


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    rules = parse_rules(["*a" * 20 + "b"], "")
    assert ignoring_rule("a" * 200, lambda _: rules) is None  # with a regex that tries again, for ever
    assert ignoring_rule("a" * 200 + "b", lambda _: rules) is not None


def test_a_file_of_comments_costs_no_import() -> None:
    script = (
        "import sys; from midfill.server.gitignore import parse_rules\n"
        "parse_rules(['# nothing', ''], ''); assert 'pathspec' not in sys.modules\n"
        "parse_rules(['*.log'], ''); assert 'pathspec' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
