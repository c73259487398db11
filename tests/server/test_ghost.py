import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from midfill.server.ghost import NUM_LINES, Ghost, Surroundings, ghost

FIXTURES = Path(__file__).parents[2] / "fixtures" / "ghost"
CURSOR = "▮"
CASES = [
    pytest.param(case, id=f"{path.stem}-{case['name']}")
    for path in sorted(FIXTURES.glob("*.toml"))
    for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
]


def around_of(case: dict[str, Any]) -> Surroundings:
    before, after = (part.split("\n") for part in case["at"].split(CURSOR))
    return Surroundings(before[-1], after[0], before[:-1], after[1:], case.get("eol", "\n"), case.get("indent"))


def ghost_of(case: dict[str, Any]) -> Ghost | None:
    return ghost(case["fill"], around_of(case), may_split=case.get("may_split", True))


def is_subsequence(part: str, text: str) -> bool:
    position = 0
    for character in part:
        position = text.find(character, position) + 1
        if not position:
            return False
    return True


def line_with(shown: Ghost, around: Surroundings) -> str:
    """The cursor's line, or what has become of it."""
    kept = around.line_before[: len(around.line_before) - shown.back]
    return kept + shown.text + around.line_after[shown.replaced :]


@pytest.mark.parametrize("case", CASES)
def test_what_is_shown(case: dict[str, Any]) -> None:
    shown = Ghost(case["shown"], case.get("back", 0), case.get("replaced", 0)) if "shown" in case else None
    assert ghost_of(case) == shown


@pytest.mark.parametrize("case", CASES)
def test_filtered_text_is_not_filtered_further(case: dict[str, Any]) -> None:
    shown = ghost_of(case)
    if shown:
        assert ghost_of(case | {"fill": shown.text[shown.back :]}) == shown


@pytest.mark.parametrize("case", CASES)
def test_what_is_shown_stays_when_the_next_line_is_added_unless_the_code_has_it_twice(case: dict[str, Any]) -> None:
    shown, around = ghost_of(case), around_of(case)
    below = next((line for line in around.below if line.strip()), "")
    if shown and len(below) > 8 and around.below.count(below) == 1 and not around.line_after:
        again = ghost_of(case | {"fill": shown.text[shown.back :] + "\n" + below})
        assert again == shown


def test_only_the_nearest_lines_count() -> None:
    far = ["def far():", "    return 1", *["x = 1"] * NUM_LINES]
    assert ghost("\tx", Surroundings("if y:", "", far, [], "\n", None)) == Ghost("\tx", 0, 0)


def test_closers_of_what_began_above_all_known_lines_are_kept() -> None:
    above = [f"    let a{index} = {index};" for index in range(NUM_LINES)]
    around = Surroundings("    ", "", above, ["}", ""], "\n", "    ")
    assert ghost("done();\n  }", around) == Ghost("done();\n  }", 0, 0)


def test_a_long_word_is_repeated_in_part() -> None:
    around = Surroundings("x" * 500 + ":", "", [], [], "\n", None)
    shown = ghost("\n    y", around)
    assert shown == Ghost("x" * 39 + ":\n    y", 40, 0)


def test_lines_of_megabytes_are_no_burden() -> None:
    huge = "word " * 240_000
    shown = ghost("total)", Surroundings(huge + "print(", ")" + huge, [huge] * 80, [huge] * 80, "\n", None))
    assert shown
    assert shown.text == "total"


# Pieces that the filters look at, so that chance hits their edges often.
PIECES = st.sampled_from(
    [*"()[]{}\"'`:;,.\t ", "  ", "    ", "\n", "\r\n", "\r", "a", "ab", "def f", "é", "🙂", "end", "0"]
)
TEXTS = st.lists(PIECES, max_size=24).map("".join)
PARTS = TEXTS.map(lambda text: text.replace("\r", "").replace("\n", ""))
LINES = st.lists(PARTS, max_size=6)
AROUND = st.builds(
    Surroundings,
    PARTS,
    PARTS,
    LINES | LINES.map(lambda lines: (lines or [""]) * 70),
    LINES,
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([None, "\t", "  ", "    "]),
)


@given(TEXTS | st.text(), AROUND)
def test_any_fill_anywhere_gives_what_an_editor_can_apply(fill: str, around: Surroundings) -> None:
    shown = ghost(fill, around)
    if shown is None:
        return
    assert shown.text.split(around.eol)[0]
    assert shown.text.strip()
    assert 0 <= shown.back <= len(around.line_before)
    assert shown.text.startswith(around.line_before[len(around.line_before) - shown.back :])
    assert 0 <= shown.replaced <= len(around.line_after)
    assert is_subsequence(around.line_after[: shown.replaced], shown.text)


@given(TEXTS, AROUND)
def test_line_ends_are_the_files(fill: str, around: Surroundings) -> None:
    shown = ghost(fill, around)
    bare = shown.text.replace(around.eol, "") if shown else ""
    assert "\n" not in bare
    assert "\r" not in bare


@given(TEXTS, AROUND)
def test_filtering_twice_is_filtering_once(fill: str, around: Surroundings) -> None:
    shown = ghost(fill, around)
    assert shown is None or ghost(shown.text[shown.back :], around) == shown


@given(TEXTS, AROUND)
def test_white_space_alone_is_never_shown(fill: str, around: Surroundings) -> None:
    assert ghost("".join(character for character in fill if character.isspace()), around) is None


@given(TEXTS, AROUND)
def test_a_line_that_may_not_be_split_is_not(fill: str, around: Surroundings) -> None:
    shown = ghost(fill, around, may_split=False)
    if shown and around.line_before.strip() and around.eol in shown.text[shown.back :]:
        assert not around.line_after[shown.replaced :].strip(")]}\"'` \t")


WORDS = st.lists(st.sampled_from(["alpha", "beta", "gamma", "x = 1", "call(y)", "# note"]), min_size=1, max_size=3)


@given(WORDS, WORDS, st.sampled_from(["\n", "\r\n"]))
@example(["alpha"], ["beta"], "\n")
def test_the_suffix_is_never_doubled(own: list[str], below: list[str], eol: str) -> None:
    around = Surroundings("", "", ["start = 0", ""], below, eol, None)
    shown = ghost("\n".join(own + below), around)
    text = shown.text if shown else ""
    assert not (eol + text).endswith(eol + eol.join(below)) or below[1:2] == below[:1]


@given(st.sampled_from(["print(", "a = [", "f({", "x = g(h("]), st.sampled_from(["y", "b, c", "k(1)"]))
def test_brackets_closed_by_the_editor_are_never_doubled(before: str, inner: str) -> None:
    closers = "".join({"(": ")", "[": "]", "{": "}"}[character] for character in reversed(before) if character in "([{")
    around = Surroundings(before, closers, [], [], "\n", None)
    shown = ghost(inner + closers, around)
    assert shown
    assert line_with(shown, around) == before + inner + closers
