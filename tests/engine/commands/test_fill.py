"""`midfill fill`: the real command on a tiny random checkpoint, and all that can be wrong with what it is given."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.commands.fill import LANGUAGES, fill, offset, read_text
from midfill.engine.errors import CheckpointError, InputError
from midfill.engine.loading import open_infiller
from midfill.engine.prompt import NANO_LANGUAGES
from midfill.engine.syntax import GRAMMARS
from midfill.engine.wire import Infill, InfillRequest, Mode

COMMAND = Path(sys.executable).with_name("midfill")
AWKWARD = (
    "# [bold]not markup[/bold] [link=x] [/] \\[red] :smile:\r\n"
    "\tx = 1\t\t# tabs\r\n"
    f"y = '{'long ' * 2000}'\n"
    "bell \x07, escape \x1b[31m, form feed \x0c, backspace \x08, a lone return \r, NUL \x00\n"
    "größe = 漢字 🙂\u2028\x85 # RTL: שלום\n"
    "   no newline at the end, and spaces   "
)


@pytest.fixture(scope="session")
def model(tiny_checkpoint: Callable[[str], Path]) -> Path:
    return tiny_checkpoint("released")


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "awkward.py"
    path.write_bytes(AWKWARD.encode())
    return path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([COMMAND, "fill", *arguments], capture_output=True, check=False)


def seed_with_text(prefix: str, suffix: str, model: Path) -> int:
    """A seed whose fill is not empty: random weights may also write nothing."""
    infiller = open_infiller(model)
    requests = (
        InfillRequest(document="a", prefix=prefix, suffix=suffix, language="python", max_tokens=12, seed=seed)
        for seed in range(50)
    )
    return next(request.seed for request in requests if infiller.complete(request).text)


# The whole command


def test_the_text_is_printed_byte_for_byte_around_the_fill_of_the_json(document: Path, model: Path) -> None:
    at = offset(AWKWARD, "2:4", "--at")
    seed = str(seed_with_text(AWKWARD[:at], AWKWARD[at:], model))
    options = ("--at", "2:4", "--model", model, "--max-tokens", "12", "--seed", seed)
    as_json, as_text = run(document, *options, "--json"), run(document, *options)
    assert (as_json.returncode, as_json.stderr) == (0, b"")
    answer = msgspec.json.decode(as_json.stdout, type=Infill)
    assert set(json.loads(as_json.stdout)) == {"type", *Infill.__struct_fields__}
    assert answer.text
    assert answer.steps > 0
    assert answer.prompt_tokens > 0
    assert answer.cached_tokens == 0
    assert 0 <= answer.confidence <= 1

    assert as_text.returncode == 0
    assert as_text.stdout == (AWKWARD[:at] + answer.text + AWKWARD[at:]).encode()
    assert as_text.stderr.count(b"\n") == 1
    assert f"{answer.steps} steps, ".encode() in as_text.stderr
    assert document.read_bytes() == AWKWARD.encode()


def test_on_a_terminal_the_fill_alone_is_in_colour(tmp_path: Path, model: Path) -> None:
    document = tmp_path / "a.txt"
    document.write_text("[b]first[/b]\nlast", encoding="utf-8")
    master, slave = pty.openpty()
    command = [COMMAND, "fill", document, "--at", "2:1", "--to", "2:3", "--model", model, "--max-tokens", "3"]
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    subprocess.run(
        command, stdout=slave, stderr=subprocess.DEVNULL, check=True, env={**environment, "TERM": "xterm-256color"}
    )
    os.close(slave)
    shown = os.read(master, 10_000).decode()
    os.close(master)
    assert shown.startswith("[b]first[/b]\r\n\x1b[1;32m")
    assert shown.endswith("\x1b[0mst")


def test_a_mistake_is_told_in_one_line(tmp_path: Path) -> None:
    result = run(tmp_path / "absent.py", "--at", "1:1")
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.decode() == (
        f"midfill: {tmp_path / 'absent.py'}: wanted a readable file, got No such file or directory\n"
    )


def test_text_between_at_and_to_is_replaced(
    tmp_path: Path, model: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    document = tmp_path / "a.py"
    document.write_text("one\ntwo\nthree\n", encoding="utf-8")
    fill(document, at="1:2", to="3:3", model=model, max_tokens=4, json=True)
    text = json.loads(capfdbinary.readouterr().out)["text"]
    fill(document, at="1:2", to="3:3", model=model, max_tokens=4)
    assert capfdbinary.readouterr().out == f"o{text}ree\n".encode()


@pytest.mark.parametrize("at", ["1:1", "4:1"])
def test_a_gap_at_either_end_of_the_file_is_filled(
    tmp_path: Path, model: Path, capfdbinary: pytest.CaptureFixture[bytes], at: str
) -> None:
    document = tmp_path / "a.py"
    document.write_text("one\ntwo\nthree\n", encoding="utf-8")
    fill(document, at=at, model=model, max_tokens=4)
    shown = capfdbinary.readouterr().out
    assert shown.endswith(b"one\ntwo\nthree\n") if at == "1:1" else shown.startswith(b"one\ntwo\nthree\n")


def test_an_empty_file_is_filled(tmp_path: Path, model: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (tmp_path / "empty").touch()
    fill(tmp_path / "empty", at="1:1", model=model, max_tokens=4, json=True)
    assert msgspec.json.decode(capfdbinary.readouterr().out, type=Infill).prompt_tokens > 0


def test_the_same_seed_gives_the_same_fill_and_another_seed_another(
    document: Path, model: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def filled(seed: int) -> str:
        fill(document, at="2:4", model=model, max_tokens=12, seed=seed, json=True)
        return json.loads(capfdbinary.readouterr().out)["text"]

    texts = [filled(seed) for seed in range(4)]
    assert [filled(seed) for seed in range(4)] == texts
    assert len(set(texts)) > 1


def test_best_mode_looks_further(document: Path, model: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    steps: list[int] = []
    modes: tuple[Mode, ...] = ("fast", "best")
    for mode in modes:
        fill(document, at="2:4", model=model, mode=mode, max_tokens=4, json=True)
        steps.append(json.loads(capfdbinary.readouterr().out)["steps"])
    assert steps[0] < steps[1]


# What can be wrong


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"at": "12"}, "--at: wanted LINE:COL, such as 12:5, got '12'"),
        ({"at": "0:1"}, "--at: wanted a line from 1 to 3, got 0"),
        ({"at": "4:1"}, "--at: wanted a line from 1 to 3, got 4"),
        ({"at": "1:5"}, "--at: wanted a column from 1 to 4 on line 1, got 5"),
        ({"at": "1:1", "to": "1:9"}, "--to: wanted a column from 1 to 4 on line 1, got 9"),
        ({"at": "2:2", "to": "2:1"}, "--to: wanted a position at or after --at 2:2, got 2:1"),
        ({"at": "1:1", "max_tokens": 0}, "--max-tokens: wanted 1 or more, got 0"),
        ({"at": "1:1", "seed": -1}, "--seed: wanted 0 or more, below 2 ** 63, got -1"),
        ({"at": "1:1", "seed": 1 << 63}, f"--seed: wanted 0 or more, below 2 ** 63, got {1 << 63}"),
    ],
)
def test_a_bad_option_is_named_with_what_was_wanted(tmp_path: Path, options: dict[str, str], complaint: str) -> None:
    (tmp_path / "a.py").write_text("one\ntwo\n", encoding="utf-8")
    with pytest.raises(InputError) as raised:
        fill(tmp_path / "a.py", **options)  # pyright: ignore[reportArgumentType]
    assert str(raised.value) == complaint


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    with pytest.raises(CheckpointError, match="/absent: wanted a model directory, got no such directory"):
        fill(tmp_path / "a.py", at="1:1", model=tmp_path / "absent")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.py: wanted a readable file, got No such file or directory"):
        read_text(tmp_path / "absent.py")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wanted a readable file, got Is a directory"):
        read_text(tmp_path)


def test_the_first_byte_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("größe".encode("latin-1"))
    with pytest.raises(InputError, match="latin: wanted a UTF-8 text file, got the byte 0xf6 at 2"):
        read_text(tmp_path / "latin")


@given(text=st.text())
def test_a_text_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "text"
    path.write_bytes(text.encode())
    assert read_text(path) == text


# Positions


@given(
    lines=st.lists(st.text("aé🙂\t\u2028\x0c", max_size=5), min_size=1),
    end=st.sampled_from(["\n", "\r\n"]),
    data=st.data(),
)
def test_a_position_names_one_place(lines: list[str], end: str, data: st.DataObject) -> None:
    line = data.draw(st.integers(0, len(lines) - 1))
    column = data.draw(st.integers(0, len(lines[line])))
    before = end.join([*lines[:line], lines[line][:column]])
    assert offset(end.join(lines), f"{line + 1}:{column + 1}", "--at") == len(before)


def test_a_column_past_the_return_of_a_crlf_is_refused() -> None:
    assert offset("ab\r\nc", "1:3", "--at") == 2
    with pytest.raises(InputError, match="wanted a column from 1 to 3 on line 1, got 4"):
        offset("ab\r\nc", "1:4", "--at")


@pytest.mark.parametrize(
    "position",
    ["", ":", "1", "1:", ":1", "1:1:1", "a:1", "1:b", " 1:1", "1: 1", "-1:1", "1:-1", "1.5:1", "١:١", "1:1\n"],
)
def test_a_position_of_another_form_is_refused(position: str) -> None:
    with pytest.raises(InputError, match=r"--to: wanted LINE:COL, such as 12:5, got ") as raised:
        offset("text", position, "--to")
    assert repr(position) in str(raised.value)


def test_a_position_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(InputError, match="LINE:COL"):
        offset("text", "1" * 5000 + ":1", "--at")


def test_a_suffix_tells_every_language_that_the_embedded_model_or_a_grammar_knows() -> None:
    assert set(LANGUAGES.values()) == set(NANO_LANGUAGES) | set(GRAMMARS)


# Schemas


def test_a_schema_is_met(tmp_path: Path, model: Path) -> None:
    document, schema = tmp_path / "a.json", tmp_path / "schema.json"
    document.write_text("{}", encoding="utf-8")
    schema.write_text('{"required": ["größe"], "properties": {"größe": {"enum": [7]}}}', encoding="utf-8")
    result = run(document, "--at", "1:2", "--schema", schema, "--model", model)
    assert result.returncode == 0
    assert json.loads(result.stdout)["größe"] == 7
    assert result.stderr.endswith(b": shown, valid\n")


@pytest.mark.parametrize(
    ("name", "schema", "complaint"),
    [
        ("a.py", "{}", "--schema: wanted a JSON file to fill, got a.py, which is python"),
        ("a.json", "{", "wanted "),
        ("a.json", None, "wanted a readable file"),
    ],
)
def test_a_schema_that_cannot_be_used_is_an_error(
    tmp_path: Path, model: Path, name: str, schema: str | None, complaint: str
) -> None:
    document, path = tmp_path / name, tmp_path / "schema.json"
    document.write_text("{}", encoding="utf-8")
    if schema is not None:
        path.write_text(schema, encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        fill(document, at="1:2", schema=path, model=model)
