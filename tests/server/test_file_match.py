"""`midfill.server.file_match`: patterns as people write them for VS Code."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.server.file_match import fits

ROOT = Path("/home/me/work")


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("package.json", "package.json"),
        ("package.json", "deep/in/package.json"),
        ("*.schema.json", "a.schema.json"),
        ("tsconfig*.json", "tsconfig.build.json"),
        (".vscode/*.json", ".vscode/a.json"),
        (".vscode/*.json", "deep/.vscode/a.json"),
        ("config/**/*.json", "config/a/b/c.json"),
        ("/config.json", "config.json"),
        ("./config.json", "config.json"),
        ("{a,b}.{json,jsonc}", "b.jsonc"),
        ("**/a.json", "a.json"),
    ],
)
def test_a_pattern_matches(pattern: str, name: str) -> None:
    assert fits([pattern], ROOT / name, [ROOT])


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("package.json", "my-package.json"),
        ("package.json", "package.jsonc"),
        (".vscode/*.json", ".vscode/a/b.json"),
        ("/config.json", "deep/config.json"),
        ("./config.json", "deep/config.json"),
        ("{a,b}.json", "c.json"),
        ("", "a.json"),
        ("!", "a.json"),
        ("[", "["),
    ],
)
def test_a_pattern_does_not_match(pattern: str, name: str) -> None:
    assert not fits([pattern], ROOT / name, [ROOT])


def test_the_last_that_matches_decides() -> None:
    patterns = ["*.json", "!package.json", "/package.json"]
    matched = [fits(patterns, ROOT / name, [ROOT]) for name in ("a.json", "sub/package.json", "package.json")]
    assert matched == [True, False, True]


def test_without_a_root_what_starts_with_a_slash_matches_nothing() -> None:
    assert not fits(["/a.json"], Path("/a.json"), [])
    assert fits(["a.json"], Path("/a.json"), [])


@given(st.text("*?[]{}!,./\\a", max_size=30))
def test_any_pattern_is_read(pattern: str) -> None:
    assert fits([pattern], ROOT / "a" / "a.a", [ROOT]) in (True, False)


def test_alternatives_are_tried_in_any_number_of_braces() -> None:
    assert fits(["{a}" * 300], ROOT / ("a" * 300), [ROOT])
    assert fits(["{a,{b,c}}.json"], ROOT / "c.json", [ROOT])


@pytest.mark.parametrize(
    "pattern",
    [
        "{a,b}" * 40,
        "{a}" * 1200,
        "{a}" * 340,
        "{" * 500 + "}" * 500,
        "{" + "," * 1000 + "}" * 9,
        "*a" * 60,
        "{" * 5000,
        "**/" * 340,
        "**/" * 500,
    ],
)
def test_hostile_patterns_take_no_time(pattern: str) -> None:
    started = time.perf_counter()
    fits([pattern], ROOT / ("a" * 200), [ROOT])
    assert time.perf_counter() - started < 1
