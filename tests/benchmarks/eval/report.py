"""Tables and plots of what `make eval` has measured.

    python3 -m tests.benchmarks.eval.report [--out FOLDER]

reads `eval.json` and writes `eval.md`, `eval_latency.svg`, `eval_reliability.svg` and `eval_lengths.svg` beside it.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from tests.benchmarks.eval.plots import Series, plot
from tests.benchmarks.gpu.report import svg, table
from tests.benchmarks.gpu.results import FOLDER

HEAD = (
    *("variant", "exact", "against the first", "pass@1", "similarity", "lines", "tokens", "tokens ±1"),
    *("syntax", "parses", "shown", "exact if shown", "off by", "passes", "p50, ms", "p90, ms"),
)
SHARES = (
    *("solved", "similarity", "same_lines", "same_tokens", "about_tokens"),
    *("intact", "parses", "shown", "exact_of_shown"),
)
"""Names of the figures under `HEAD`, from pass@1 on."""
MEANS = "exact", "similarity", "same_lines", "same_tokens", "about_tokens", "shown"
NOTES = """Shares in %, with intervals of 95 % by a bootstrap over tasks. Exact: the true text, character by character.
Against the first: the difference to the first variant, on the same holes. Similarity: 1 less the edit distance over the
longer text. Lines, tokens: as many as the true text; ±1: or one more or less. Syntax: no more errors for
tree-sitter than with the true text, or with none. Parses: of Python whose true text does, the share that does with the
fill. Off by: how far confidence and share of exact fills are apart, in ten bins of as many fills, of at least 20
(expected calibration error). Passes: forward passes of the model. Times: of files that are seen first."""


def write_report(found: dict[str, Any], folder: Path) -> None:
    """Writes all files of the report; each is whole before it takes its place."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "eval.json", json.dumps(found, indent=1) + "\n")
    _write(folder / "eval.md", markdown(found))
    _write(folder / "eval_latency.svg", latency_plot(found))
    _write(folder / "eval_reliability.svg", reliability_plot(found))
    _write(folder / "eval_lengths.svg", lengths_plot(found))


def _write(path: Path, text: str) -> None:
    fresh = path.with_suffix(".part")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def markdown(found: dict[str, Any]) -> str:
    """The whole report: what was measured with what, a table a set, and the plots."""
    sets = list(dict.fromkeys(each["set"] for each in found["records"]))
    ways = ((name, way["does"], _told(way)) for name, way in found["variants"].items())
    parts = ["# Quality of fills", origin(found), NOTES, table(("variant", "what it is", "how"), ways)]
    if len(sets) > 1:
        parts += ["## Mean of all sets", table(("variant", *MEANS, "p50_ms"), _mean_rows(found))]
    for name in sets:
        those = [each for each in found["records"] if each["set"] == name]
        told = f"{those[0]['records']} holes of {those[0]['groups']} tasks."
        parts += [f"## {name}", told, table(HEAD, map(_row, those))]
    plots = ("Quality and latency", "latency"), ("Reliability", "reliability"), ("Lengths", "lengths")
    parts += [f"## {title}\n\n![{title}](eval_{name}.svg)" for title, name in plots]
    return "\n\n".join(parts) + "\n"


def origin(found: dict[str, Any]) -> str:
    """On what, with what and when."""
    on = found["machine"]
    limit = "all records" if found["limit"] is None else f"at most {found['limit']} records a set"
    versions = f"midfill {on['midfill']}, torch {on['torch']}, Python {on['python']}"
    hashes = f"model {found['model']}, sources {found['sources']}"
    return f"{on['device']}, {on['threads']} threads, {versions}, {on['date']}; {hashes}; {limit}."


def _told(way: dict[str, Any]) -> str:
    asked = (f"{name}: {value}" for name, value in way["asked"].items() if name in ("mode", "scope", "eagerness"))
    return ", ".join([*(f"`{each}`" for each in way["set"]), *asked])


def _row(each: dict[str, Any]) -> list[str]:
    return [
        each["variant"],
        _between(each["exact"]),
        _between(each["difference"], "+"),
        *(_between(each[name]) for name in SHARES),
        f"{each['calibration_error'] * 100:.1f}",
        *(f"{each[name]:.1f}" for name in ("steps", "p50_ms", "p90_ms")),
    ]


def _between(found: dict[str, Any] | None, sign: str = "") -> str:
    if found is None:
        return ""
    value, low, high = (f"{found[name] * 100:{sign}.1f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _mean_rows(found: dict[str, Any]) -> list[list[str]]:
    """A row a variant that has been tried on all sets, which weigh the same."""
    sets = {each["set"] for each in found["records"]}
    rows = []
    for way in found["variants"]:
        those = _of(found, way)
        if len(those) == len(sets):
            shares = (f"{mean(each[name]['value'] for each in those) * 100:.1f}" for name in MEANS)
            rows.append([way, *shares, f"{mean(each['p50_ms'] for each in those):.0f}"])
    return rows


def _of(found: dict[str, Any], way: str) -> list[dict[str, Any]]:
    return [each for each in found["records"] if each["variant"] == way]


def latency_plot(found: dict[str, Any]) -> str:
    """A point a variant: the means over the sets."""
    points = [
        Series(way, [(mean(each["p50_ms"] for each in those), mean(each["exact"]["value"] for each in those))])
        for way in found["variants"]
        if (those := _of(found, way))
    ]
    return plot("Exact fills and time, means of the sets", "p50, ms", "share exact", points)


def reliability_plot(found: dict[str, Any]) -> str:
    """A curve a variant, of all sets: the fills of each tenth, from the least sure to the surest."""
    curves = [Series("as it should be", [(0.0, 0.0), (1.0, 1.0)])]
    for way in found["variants"]:
        bins = [each["reliability"] for each in _of(found, way)]
        curves.append(Series(way, [_middle(those) for those in zip(*bins, strict=False)]))
    return plot("Share of exact fills by confidence", "confidence", "share exact", curves)


def _middle(bins: Sequence[dict[str, Any]]) -> tuple[float, float]:
    total = sum(each["records"] for each in bins)
    across, up = (sum(each[name] * each["records"] for each in bins) / total for name in ("confidence", "exact"))
    return across, up


def lengths_plot(found: dict[str, Any]) -> str:
    """A bar a variant and length of the hole: as many tokens; the mark is about as many."""
    bars = []
    for way in found["variants"]:
        those = [length for each in _of(found, way) for length in each["lengths"]]
        for first, last in sorted({tuple(each["tokens"]) for each in those}, key=lambda tokens: tokens[0]):
            alike = [each for each in those if each["tokens"] == [first, last]]
            total = sum(each["records"] for each in alike)
            same, about = (sum(each[name] * each["records"] for each in alike) / total for name in ("same", "about"))
            tokens = f"{first} or more" if last is None else f"{first} to {last}"
            bars.append((f"{way}, {tokens} tokens ({total})", same, about, f"{same:.0%}"))
    return svg("Fills as long as the true text; the mark: or a token more or less", bars)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER)
    folder = parser.parse_args().out
    write_report(json.loads((folder / "eval.json").read_text(encoding="utf-8")), folder)


if __name__ == "__main__":
    main()
