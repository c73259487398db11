"""`midfill eval`: fills every record of a file; each figure on quality comes from its output."""

import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Annotated, NamedTuple

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.progress import Progress

from midfill.engine.commands.fill import check_options
from midfill.engine.errors import InputError
from midfill.engine.infill import Infiller
from midfill.engine.loading import open_infiller
from midfill.engine.wire import InfillRequest, Mode, Schema, SchemaDraft


class Record(msgspec.Struct, frozen=True):
    """One line of the input. Other fields are left alone."""

    id: str
    prefix: str
    suffix: str
    language: str | None = None
    schema: msgspec.Raw = msgspec.Raw(b"null")
    """JSON Schema that the document has to meet; it is a JSON document then, if no language is said."""
    draft: SchemaDraft | None = None
    refs: dict[str, msgspec.Raw] = {}
    """Other schemas that it refers to, by URI."""


class Result(msgspec.Struct, frozen=True):
    """One line of the output. `completion` is the fill even where `shown` is false."""

    id: str
    completion: str
    shown: bool
    latency_ms: float
    steps: int
    confidence: float
    valid: bool | None
    """Whether the document with the completion is; null if it was not checked."""


class Asked(NamedTuple):
    """What is the same in all requests."""

    mode: Mode
    max_tokens: int
    seed: int


def evaluate(
    records: Path,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    model: Path | None = None,
    limit: int | None = None,
    max_tokens: int = 64,
    mode: Mode = "fast",
    seed: int = 0,
) -> None:
    """Fill every record of a JSON Lines file, independently of each other, in order.

    Parameters
    ----------
    records
        Lines with id, prefix, suffix and optionally language, and schema, draft and refs (URI to schema); may be
        gzipped. A bad line is reported and skipped.
    output
        Where the results go, a line a record.
    model
        Directory of a checkpoint; the embedded model by default.
    limit
        Only the first so many lines.
    max_tokens
        The longest fill.
    mode
        Of every fill: fast is for typing, best takes longer and looks further.
    seed
        Of every fill.
    """
    check_options(max_tokens, seed)
    if limit is not None and limit < 1:
        raise InputError("--limit", "1 or more", limit)
    if output.resolve() == records.resolve():
        raise InputError("--output", "another file than the records", output)
    lines = _lines(records)[:limit]
    infiller = open_infiller(model)
    asked = Asked(mode, max_tokens, seed)
    try:
        with output.open("wb") as out:
            for record in _progress(_records(lines, records), len(lines)):
                result = _fill_or_say(infiller, record, asked)
                out.write(msgspec.json.encode(result) + b"\n" if result else b"")
                out.flush()
    except OSError as error:
        raise InputError(output, "a writable file", error.strerror) from None


def _lines(path: Path) -> list[bytes]:
    """The lines of `path`, unzipped. Raises `InputError` if they cannot be read."""
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).splitlines()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(path, "a readable JSON Lines file", getattr(error, "strerror", None) or error) from None


def _records(lines: list[bytes], path: Path) -> Iterator[Record | None]:
    """Each line's record; None for a line that is none, after saying so on stderr."""
    for number, line in enumerate(lines, start=1):
        try:
            yield msgspec.json.decode(line, type=Record)
        except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
            sys.stderr.write(f"midfill: {path}:{number}: skipped: {error}\n")
            yield None


def _progress(records: Iterator[Record | None], total: int) -> Iterator[Record]:
    """The records that are good, with a progress bar on a terminal."""
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("filling", total=total)
        for record in records:
            if record is not None:
                yield record
            progress.advance(task)


def _fill_or_say(infiller: Infiller, record: Record, asked: Asked) -> Result | None:
    """The result for one record; None, after saying so on stderr, where its schema cannot be used."""
    try:
        return _fill(infiller, record, asked)
    except InputError as error:
        if _schema(record) is None:
            raise
        sys.stderr.write(f"midfill: {record.id}: skipped: {error}\n")
        return None


def _fill(infiller: Infiller, record: Record, asked: Asked) -> Result:
    """The result for one record; nothing stays cached, so its time is that of a file seen for the first time."""
    request = InfillRequest(
        document=record.id,
        prefix=record.prefix,
        suffix=record.suffix,
        language=record.language,
        max_tokens=asked.max_tokens,
        mode=asked.mode,
        seed=asked.seed,
        schema=_schema(record),
    )
    started = perf_counter()
    answer = infiller.complete(request)
    elapsed = perf_counter() - started
    infiller.cache.forget(record.id)
    return Result(
        record.id, answer.text, answer.shown, round(elapsed * 1e3, 2), answer.steps, answer.confidence, answer.valid
    )


def _schema(record: Record) -> Schema | None:
    text = bytes(record.schema).decode()
    if text == "null":
        return None
    others = tuple((uri, bytes(text).decode()) for uri, text in record.refs.items())
    return Schema(text=text, others=others, draft=record.draft)
