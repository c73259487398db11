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
from msgspec import UNSET, UnsetType
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from midfill.engine.changed_settings import changed
from midfill.engine.commands.fill import check_options
from midfill.engine.errors import InputError
from midfill.engine.infill import Infiller
from midfill.engine.loading import open_infiller
from midfill.engine.quality import Estimate, Outcome, Quality, edit_similarity, quality
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.wire import MOST_CANDIDATES, Eagerness, InfillRequest, Mode, Other, Schema, SchemaDraft, Scope

COLUMNS = "records", "exact", "similarity", "lines", "tokens", "±1", "shown", "exact if shown", "passes", "p50", "p90"


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
    middle: str | None = None
    """What stood there, where it is known. The summary compares the fill with it."""
    group: str | None = None
    """Of records that were made of the same text: chance is taken over groups."""


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
    others: tuple[Other, ...] | UnsetType = UNSET
    """Where more than one candidate was asked for."""


class Asked(NamedTuple):
    """What is the same in all requests."""

    mode: Mode = "fast"
    max_tokens: int = 64
    seed: int = 0
    scope: Scope = "auto"
    eagerness: Eagerness = "balanced"
    num_candidates: int = 1


def evaluate(
    records: Path,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    model: Path | None = None,
    limit: int | None = None,
    max_tokens: int = 64,
    mode: Mode = "fast",
    scope: Scope = "auto",
    gate: Eagerness = "balanced",
    candidates: int = 1,
    seed: int = 0,
    changes: Annotated[tuple[str, ...], Parameter(name="--set", show=False, negative="")] = (),
) -> None:
    """Fill every record of a JSON Lines file, independently of each other, in order.

    Where records say what stood in their gaps, a table at the end says how near the fills are.

    Parameters
    ----------
    records
        Lines with id, prefix, suffix and optionally language, and schema, draft and refs (URI to schema), and middle
        (what stood there) and group (of records that belong together); may be gzipped. A bad line is reported and
        skipped.
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
    scope
        How far a fill may go: auto has the text around the gap say it.
    gate
        How sure a fill has to be to count as shown: low shows few, high many.
    candidates
        Fills of each record: the best one, and so many less one others.
    seed
        Of every fill.
    changes
        NAME=VALUE, a field of the engine's settings: num_lengths=8, denoise.max_steps=4, search=none.
    """
    check_options(max_tokens, seed)
    if not 1 <= candidates <= MOST_CANDIDATES:
        raise InputError("--candidates", f"1 to {MOST_CANDIDATES}", candidates)
    if limit is not None and limit < 1:
        raise InputError("--limit", "1 or more", limit)
    if output.resolve() == records.resolve():
        raise InputError("--output", "another file than the records", output)
    lines = _lines(records)[:limit]
    infiller = open_infiller(model, steer=lambda settings: changed(settings, changes))
    asked = Asked(mode, max_tokens, seed, scope, gate, candidates)
    outcomes: dict[str, list[Outcome]] = {}
    try:
        with output.open("wb") as out:
            for record in _progress(_records(lines, records), len(lines)):
                if (result := _fill_or_say(infiller, record, asked)) is not None:
                    out.write(msgspec.json.encode(result) + b"\n")
                    out.flush()
                    if record.middle is not None:
                        compared = compare(record, result, record.middle, infiller.tokenizer)
                        outcomes.setdefault(record.language or "unknown", []).append(compared)
    except OSError as error:
        raise InputError(output, "a writable file", error.strerror) from None
    if outcomes:
        _show(_summary(outcomes))


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
        return fill_record(infiller, record, asked)
    except InputError as error:
        if _schema(record) is None:
            raise
        sys.stderr.write(f"midfill: {record.id}: skipped: {error}\n")
        return None


def fill_record(infiller: Infiller, record: Record, asked: Asked) -> Result:
    """The result for one record; nothing stays cached, so its time is that of a file seen for the first time.

    Raises `InputError` for a schema that cannot be used.
    """
    request = InfillRequest(
        document=record.id,
        prefix=record.prefix,
        suffix=record.suffix,
        language=record.language,
        schema=_schema(record),
        **asked._asdict(),
    )
    started = perf_counter()
    answer = infiller.complete(request)
    elapsed = perf_counter() - started
    infiller.cache.forget(record.id)
    return Result(
        id=record.id,
        completion=answer.text,
        shown=answer.shown,
        latency_ms=round(elapsed * 1e3, 2),
        steps=answer.steps,
        confidence=answer.confidence,
        valid=answer.valid,
        others=answer.others if asked.num_candidates > 1 else UNSET,
    )


def compare(record: Record, result: Result, middle: str, tokenizer: Tokenizer) -> Outcome:
    """What has become of a record in whose gap `middle` stood."""
    fill = result.completion
    return Outcome(
        group=record.group or record.id,
        exact=fill == middle,
        similarity=edit_similarity(fill, middle),
        same_lines=fill.count("\n") == middle.count("\n"),
        tokens_off=len(tokenizer.encode(fill)) - len(tokenizer.encode(middle)),
        shown=result.shown,
        steps=result.steps,
        latency_ms=result.latency_ms,
    )


def _schema(record: Record) -> Schema | None:
    text = bytes(record.schema).decode()
    if text == "null":
        return None
    others = tuple((uri, bytes(text).decode()) for uri, text in record.refs.items())
    return Schema(text=text, others=others, draft=record.draft)


def _summary(outcomes: dict[str, list[Outcome]]) -> Table:
    """A row a language, if there are several, and one for all."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("language")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    if len(outcomes) > 1:
        for language in sorted(outcomes):
            table.add_row(Text(language), *_cells(quality(outcomes[language])))
    table.add_row("all", *_cells(quality([each for those in outcomes.values() for each in those])), style="bold")
    return table


def _cells(found: Quality) -> list[str]:
    """In the order of `COLUMNS`; those that say most with their intervals."""
    return [
        str(found.records),
        _share_between(found.exact),
        _share_between(found.similarity),
        *(_share(each) for each in (found.same_lines, found.same_tokens, found.about_tokens, found.shown)),
        "" if found.exact_of_shown is None else _share_between(found.exact_of_shown),
        f"{found.steps:.1f}",
        f"{found.p50_ms:.0f} ms",
        f"{found.p90_ms:.0f} ms",
    ]


def _share(found: Estimate) -> str:
    return f"{found.value:.1%}"


def _share_between(found: Estimate) -> str:
    return f"{found.value:.1%} ({found.low:.1%}–{found.high:.1%})"


def _show(table: Table) -> None:
    """Prints the table in its whole width: a terminal may break lines, a file keeps them."""
    width = Console(width=1000).measure(table).maximum
    Console(width=width).print(table)
