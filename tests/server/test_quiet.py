import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.server.quiet import LEXED_CHARS, MAX_DELAY_MS, PAUSE_MS, Rhythm, reason_for_quiet

intervals = st.lists(st.integers(1, 3000), min_size=1, max_size=60)
latencies = st.none() | st.floats(0, 5000)


def typing(intervals_ms: Sequence[float]) -> Rhythm:
    rhythm, now = Rhythm(), 1e6
    rhythm.typed(now)
    for interval in intervals_ms:
        now += interval
        rhythm.typed(now)
    return rhythm


@given(intervals, latencies)
def test_delay_is_never_negative_nor_long(intervals_ms: Sequence[float], engine_ms: float | None) -> None:
    assert 0 <= typing(intervals_ms).delay_ms(engine_ms) <= MAX_DELAY_MS


@given(intervals, st.floats(0, 500), st.floats(0, 500))
def test_a_slower_engine_is_asked_no_later(intervals_ms: Sequence[float], one: float, other: float) -> None:
    rhythm = typing(intervals_ms)
    assert rhythm.delay_ms(max(one, other)) <= rhythm.delay_ms(min(one, other))


@given(st.lists(st.integers(11, 900), min_size=1, max_size=60), st.floats(1, 1.1), st.floats(0, 500))
def test_a_slower_typist_is_waited_for_no_less(intervals_ms: Sequence[float], factor: float, engine_ms: float) -> None:
    slower = typing([interval * factor for interval in intervals_ms])
    assert slower.delay_ms(engine_ms) >= typing(intervals_ms).delay_ms(engine_ms) - 1e-6  # clocks round


@given(intervals, latencies, st.integers(0, 10**9))
def test_only_differences_of_times_count(intervals_ms: Sequence[float], engine_ms: float | None, start_ms: int) -> None:
    rhythm = Rhythm()
    now = start_ms
    rhythm.typed(now)
    for interval in intervals_ms:
        now += interval
        rhythm.typed(now)
    assert rhythm.delay_ms(engine_ms) == pytest.approx(typing(intervals_ms).delay_ms(engine_ms))


def test_the_answer_is_due_at_three_quarters_of_the_usual_interval() -> None:
    rhythm = typing([150, 900, 160, 140, 30])
    assert rhythm.delay_ms(None) == pytest.approx(112.5)
    assert rhythm.delay_ms(40) == pytest.approx(72.5)
    assert rhythm.delay_ms(200) == 0


def test_what_an_editor_waited_itself_is_not_waited_again() -> None:
    rhythm = typing([200, 200])
    assert rhythm.delay_ms(0, at_ms=1e6 + 400) == pytest.approx(150)
    assert rhythm.delay_ms(0, at_ms=1e6 + 500) == pytest.approx(50)
    assert rhythm.delay_ms(0, at_ms=1e6 + 600) == 0
    assert rhythm.delay_ms(0, at_ms=1e6) == pytest.approx(150)


def test_the_first_key_and_the_first_after_a_pause_are_answered_at_once() -> None:
    rhythm = Rhythm()
    assert rhythm.delay_ms(None) == 0
    rhythm.typed(0)
    assert rhythm.delay_ms(10) == 0
    rhythm.typed(100)
    assert rhythm.delay_ms(10) > 0
    rhythm.typed(101 + PAUSE_MS)
    assert rhythm.delay_ms(10) == 0


def test_changes_that_come_with_a_key_are_no_keys() -> None:
    rhythm = Rhythm()
    for key in range(5):
        rhythm.typed(key * 200)
        rhythm.typed(key * 200 + 1)
    assert rhythm.delay_ms(0) == pytest.approx(150)
    rhythm.typed(5000)
    rhythm.typed(5001)
    assert rhythm.delay_ms(0) == 0


def test_a_rhythm_follows_the_typist() -> None:
    rhythm = typing([100] * 30)
    fast = rhythm.delay_ms(0)
    for key in range(30):
        rhythm.typed(2e6 + key * 300)
    assert rhythm.delay_ms(0) == pytest.approx(3 * fast)


def quiet(
    before: str, after: str, language: str = "python", *, deleted: bool = False, code_only: bool = True
) -> str | None:
    wanted = not code_only
    return reason_for_quiet(before, after, deleted=deleted, language=language, in_comments=wanted, in_strings=wanted)


def test_nothing_after_a_delete() -> None:
    assert quiet("x = ", "\n", deleted=True) == "after a delete"


@pytest.mark.parametrize(("before", "after"), [("fo", "o"), ("a1", "_b"), ("_", "x"), ("é", "é"), ("д", "а")])
def test_nothing_inside_a_word(before: str, after: str) -> None:
    assert quiet(before, after) == "inside a word"


@pytest.mark.parametrize(
    ("before", "after"),
    [("foo", ""), ("foo", "\nbar"), ("foo", "()"), ("foo.", "bar"), (" ", "x"), ("", "x"), ("中", "文")],
)
def test_no_quiet_at_the_ends_of_words(before: str, after: str) -> None:
    assert quiet(before, after) is None


COMMENT, STRING = "in a comment", "in a string"


@pytest.mark.parametrize(
    ("language", "text", "reason"),
    [
        ("python", "x = 1  # the |\ny = 2\n", COMMENT),
        ("python", "# the\n|\n", None),
        ("python", "x = |  # the\n", None),
        ("python", "def f():\n    '''Sum of |\n\n    more'''\n", COMMENT),
        ("python", 'def f():\n    """Sum of |', STRING),
        ("python", 'print("hel|")\n', STRING),
        ("python", 'print("hel|\nx = 1\n', STRING),
        ("python", 'print("hello"|)\n', None),
        ("python", "print(f'{a} is |')\n", STRING),
        ("python", "print(f'{a.|} is')\n", None),
        ("python", "s = r'\\|'\n", STRING),
        ("python", "#!/usr/bin/python|\n", None),
        ("javascript", "const a = 'hel|\nconst b = 1\n", STRING),
        ("javascript", "const a = `x ${b.|} y`\n", None),
        ("javascript", "const a = `x ${b} |`\n", STRING),
        ("javascript", "/* one\n two |\n*/ f()\n", COMMENT),
        ("javascript", "f() // |\n", COMMENT),
        ("javascript", "f('a')\ng(|)\n", None),
        ("typescriptreact", "const a: string = 'hel|'\n", STRING),
        ("c", "/* one |\n", COMMENT),
        ("c", "#include <std|\n", None),
        ("c", "#define X |\n", None),
        ("c", 'puts("hel|");\n', STRING),
        ("c", "puts(|);\n", None),
        ("rust", "/// Sum of |\nfn f() {}\n", COMMENT),
        ("rust", "let a: &'static str = |\n", None),
        ("go", "x := `raw |`\n", STRING),
        ("lua", "-- the |\n", COMMENT),
        ("html", "<!-- the | -->\n", COMMENT),
        ("shellscript", "echo $x # the |\n", COMMENT),
        ("sql", "-- the |\n", COMMENT),
        ("json", '{"a": "b|"}\n', STRING),
        ("json", '{"a": |}\n', None),
        ("plaintext", "it's |\n", None),
        ("no such language", "# |\n", None),
    ],
)
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_comments_and_strings_are_known(language: str, text: str, reason: str | None, eol: str) -> None:
    before, _, after = text.replace("\n", eol).partition("|")
    assert quiet(before, after, language) == reason
    assert quiet(before, after, language, code_only=False) is None


def test_comments_and_strings_are_asked_for_apart() -> None:
    in_comment = {"before": "# a ", "after": "\n", "deleted": False, "language": "python"}
    assert reason_for_quiet(**in_comment, in_comments=True, in_strings=False) is None
    assert reason_for_quiet(**in_comment, in_comments=False, in_strings=True) == COMMENT


@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_a_long_file_is_lexed_from_the_start_of_a_line(eol: str) -> None:
    line = "value = 'it' + \"is\"  # don't" + eol
    for cut in range(len(line)):
        assert quiet(line * 1000 + " " * cut + "x = '", "'" + eol) == STRING
        assert quiet(line * 1000 + " " * cut + "x = ", eol + line * 1000) is None
    assert quiet("x" * LEXED_CHARS, "\n") is None


def test_pygments_is_imported_only_where_a_setting_asks() -> None:
    code = "import sys, midfill.server.quiet as q; q.reason_for_quiet('a', '', deleted=False, language='python')"
    subprocess.run([sys.executable, "-c", f"{code}; sys.exit('pygments' in sys.modules)"], check=True)
