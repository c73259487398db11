"""`midfill stats`: what became of the suggestions, from the statistics on this machine."""

import sys
from collections.abc import Sequence
from datetime import datetime

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from midfill.engine.errors import InputError
from midfill.server.statistics import delete_events, read_events, statistics_path
from midfill.server.summary import Bucket, Summary, Tally, summarise

BAR_CELLS = 40


def stats(*, json: bool = False, delete: bool = False) -> None:
    """Show how many suggestions were shown and accepted, and how long they took. Nothing of it leaves this machine.

    Parameters
    ----------
    json
        Print the figures as JSON.
    delete
        Delete the statistics instead.
    """
    path = statistics_path()
    try:
        if delete:
            found = delete_events(path)
            sys.stdout.write(f"deleted {path}\n" if found else f"nothing to delete in {path.parent}\n")
            return
        summary = summarise(read_events(path))
    except OSError as error:
        raise InputError(path, "a file of statistics", error.strerror) from error
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(summary)).decode() + "\n")
    else:
        console = Console()
        console.print(report(summary, "#" if console.options.ascii_only else "█"))
        console.print(Text(f"Kept in {path}, on this machine only.", "dim"), soft_wrap=True)


def report(summary: Summary, mark: str) -> RenderableType:
    """The table and the histogram, whose bars are made of `mark`. Pure."""
    if summary.since is None:
        return "No suggestion was shown yet."
    since = datetime.fromtimestamp(summary.since).astimezone().strftime("%Y-%m-%d")
    parts: list[RenderableType] = [Text(f"Suggestions since {since}"), _table(summary)]
    if any(bucket.count for bucket in summary.latencies):
        parts += ["", Text("From question to answer, where the engine was asked"), _histogram(summary.latencies, mark)]
    return Group(*parts, "")


def _table(summary: Summary) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("language", overflow="crop", no_wrap=True, max_width=20)
    for name in ("shown", "accepted", "rate", "in part", "rejected", "p50", "p90"):
        table.add_column(name, justify="right", no_wrap=True)
    several = len(summary.languages) > 1
    for tally in summary.languages:
        table.add_row(*_cells(tally))
    if several:
        table.add_row(*_cells(summary.total), style="bold")
    return table


def _cells(tally: Tally) -> list[str]:
    rate = "" if tally.rate is None else f"{tally.rate:.0%}"
    name = "all" if tally.language is None else tally.language or "unknown"
    counts = (tally.shown, tally.accepted)
    return [name, *map(str, counts), rate, str(tally.partly), str(tally.rejected), _ms(tally.p50_ms), _ms(tally.p90_ms)]


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} ms"


def _histogram(buckets: Sequence[Bucket], mark: str) -> Table:
    """A bar a bucket, from the first to the last that is not empty."""
    filled = [index for index, bucket in enumerate(buckets) if bucket.count]
    most = max(bucket.count for bucket in buckets)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for bucket in buckets[filled[0] : filled[-1] + 1]:
        cells = max(round(bucket.count / most * BAR_CELLS), 1) if bucket.count else 0
        table.add_row(_span(bucket), str(bucket.count), Text(mark * cells, "cyan"))
    return table


def _span(bucket: Bucket) -> str:
    return f"from {bucket.from_ms} ms" if bucket.to_ms is None else f"{bucket.from_ms}-{bucket.to_ms} ms"
