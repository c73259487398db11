"""`midfill fill`: fills a gap in a file and prints the completed text."""

import re
import sys
from pathlib import Path

import msgspec
from rich.console import Console

from midfill.engine.errors import InputError
from midfill.engine.grammars import JSON
from midfill.engine.loading import open_infiller
from midfill.engine.wire import Infill, InfillRequest, Mode, Schema

LANGUAGES = {
    ".py": "python",
    ".pyi": "python",
    ".json": "json",
    ".jsonc": "jsonc",
    ".code-workspace": "jsonc",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascriptreact",
    ".ts": "typescript",
    ".mts": "typescript",
    ".cts": "typescript",
    ".tsx": "typescriptreact",
    ".md": "markdown",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".c": "c",
    ".h": "c",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".hpp": "cpp",
    ".cs": "csharp",
    ".css": "css",
    ".dart": "dart",
    ".go": "go",
    ".html": "html",
    ".java": "java",
    ".kt": "kotlin",
    ".lua": "lua",
    ".php": "php",
    ".rb": "ruby",
    ".rs": "rust",
    ".scala": "scala",
    ".scss": "scss",
    ".sh": "shellscript",
    ".swift": "swift",
    ".toml": "toml",
}
"""LSP language identifiers by file suffix."""
GREEN, PLAIN = "\x1b[1;32m", "\x1b[0m"


def fill(
    file: Path,
    *,
    at: str,
    to: str | None = None,
    schema: Path | None = None,
    model: Path | None = None,
    mode: Mode = "fast",
    max_tokens: int = 64,
    seed: int = 0,
    json: bool = False,
) -> None:
    """Fill a gap in a file and print the completed text; the file itself is not changed.

    Parameters
    ----------
    file
        A UTF-8 text file.
    at
        Where the gap starts, as LINE:COL, both from 1; columns count characters.
    to
        Where it ends; what stands between is replaced. By default nothing is.
    schema
        A JSON Schema: a fill after which a JSON file does not meet it is left out.
    model
        Directory of a checkpoint; the embedded model by default.
    mode
        How: fast is for typing, best takes longer and looks further.
    max_tokens
        The longest fill.
    seed
        The same seed gives the same fill.
    json
        Print the fill alone, with steps, timings, cached tokens and confidence, as JSON.
    """
    check_options(max_tokens, seed)
    text = read_text(file)
    start = offset(text, at, "--at")
    end = start if to is None else offset(text, to, "--to")
    if end < start:
        raise InputError("--to", f"a position at or after --at {at}", to)
    request = InfillRequest(
        document=str(file.resolve()),
        prefix=text[:start],
        suffix=text[end:],
        language=LANGUAGES.get(file.suffix.lower()),
        max_tokens=max_tokens,
        mode=mode,
        scope="auto" if to is None else "any",  # what takes a span's place may be as long as that
        seed=seed,
        schema=None if schema is None else read_schema(schema, file),
    )
    answer = open_infiller(model).complete(request)
    if json:
        _write(msgspec.json.encode(answer) + b"\n")
    else:
        _show(request, answer)


def check_options(max_tokens: int, seed: int) -> None:
    """Raises `InputError` for a number that no request may have."""
    if max_tokens < 1:
        raise InputError("--max-tokens", "1 or more", max_tokens)
    if not 0 <= seed < 1 << 63:
        raise InputError("--seed", "0 or more, below 2 ** 63", seed)


def read_text(file: Path) -> str:
    """The text of `file`, line ends as they are. Raises `InputError` if it cannot be read or is not UTF-8."""
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            file, "a UTF-8 text file", f"the byte {error.object[error.start]:#x} at {error.start}"
        ) from None
    except OSError as error:
        raise InputError(file, "a readable file", error.strerror) from None


def read_schema(path: Path, document: Path) -> Schema:
    """The schema in `path`, for `document`. Raises `InputError` if that is not JSON."""
    language = LANGUAGES.get(document.suffix.lower())
    if language not in {None, *JSON}:
        raise InputError("--schema", "a JSON file to fill", f"{document.name}, which is {language}")
    return Schema(text=read_text(path), uri=path.resolve().as_uri())


def offset(text: str, position: str, option: str) -> int:
    """The offset in code points of LINE:COL, both from 1. Raises `InputError`, naming `option`. Pure."""
    numbers = re.fullmatch(r"([0-9]{1,12}):([0-9]{1,12})", position)
    if numbers is None:
        raise InputError(option, "LINE:COL, such as 12:5", repr(position))
    line, column = int(numbers[1]), int(numbers[2])
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        raise InputError(option, f"a line from 1 to {len(lines)}", line)
    length = len(lines[line - 1].removesuffix("\r"))
    if not 1 <= column <= length + 1:
        raise InputError(option, f"a column from 1 to {length + 1} on line {line}", column)
    return sum(len(earlier) + 1 for earlier in lines[: line - 1]) + column - 1


def _show(request: InfillRequest, answer: Infill) -> None:
    """The whole text to stdout, as it is but for the fill's colour on a terminal; one line about it to stderr."""
    terminal = Console()
    in_colour = terminal.color_system is not None and not terminal.no_color
    middle = f"{GREEN}{answer.text}{PLAIN}" if in_colour else answer.text
    _write((request.prefix + middle + request.suffix).encode())
    verdict = "shown" if answer.shown else "an editor would show nothing"
    if answer.valid is not None:
        verdict += ", valid" if answer.valid else ", no valid fill found"
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"{answer.steps} steps, {answer.prefill_ms + answer.decode_ms:.0f} ms, "
        f"{answer.cached_tokens} of {answer.prompt_tokens} prompt tokens cached, "
        f"confidence {answer.confidence:.2f}: {verdict}",
        style="dim",
    )


def _write(data: bytes) -> None:
    """Bytes to stdout: neither rich, which drops control characters, nor the platform's line ends touch the text."""
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
