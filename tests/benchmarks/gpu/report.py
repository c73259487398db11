"""Tables and plots of what `make gpu` has measured, from the JSON files in `results/`.

    python3 -m tests.benchmarks.gpu.report [--write engine/README.md kernels/README.md] [--plots FOLDER]

prints the tables. A table's place in a file is between `<!-- gpu:engine -->` and `<!-- /gpu:engine -->`; the others are
`kernels`, `tests` and `nano`. Plots are SVG, `step_time.svg` and `kernel_share.svg`, written without any library.
"""

import argparse
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tests.benchmarks.gpu.results import FOLDER

PARTS = ("tests", "engine", "kernels", "nano")
ACCEPTANCES = 0.6, 0.8
SPEED_HEAD = tuple(f"speed-up at {kept:.0%} kept" for kept in ACCEPTANCES)
OURS = ("midfill", "torch")
"""Whose figures have a row of their own; the others stand beside them."""
NOTHING = "Nothing measured yet: `make gpu` does it where there is a card."
BAR, WIDTH, LEFT = 18, 760, 330
"""Of the plots, in pixels: a bar's height, the whole width, what labels take of it."""


def read(part: str, folder: Path) -> dict[str, Any] | None:
    """What a part has measured, if it has."""
    path = folder / f"gpu_{part}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def tables(folder: Path) -> dict[str, str]:
    """A table in Markdown for each part; one without results says so."""
    makers = {"tests": tests_table, "engine": engine_table, "kernels": kernels_table, "nano": nano_table}
    found = {part: read(part, folder) for part in PARTS}
    return {
        part: NOTHING if (got := found[part]) is None else f"{origin(got)}\n\n{makers[part](got)}" for part in PARTS
    }


def origin(found: dict[str, Any]) -> str:
    """On what, with what and when."""
    machine = found["machine"]
    peaks = ""
    if "copy_gb_s" in found:
        peaks = f" A copy moves {found['copy_gb_s'] / 1e3:.2f} TB/s, a large product runs at "
        peaks += f"{found['product_tflops']:.0f} TFLOP/s."
    left_out = f" Left out for want of time: {found['skipped']}." if found.get("skipped") else ""
    versions = f"torch {machine['torch']}, Triton {machine['triton']}, Python {machine['python']}"
    return f"{machine['device']}, {versions}, {machine['date']}.{peaks}{left_out}"


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """In Markdown; None is an empty cell."""
    lines = [
        list(head),
        ["---"] * len(list(head)),
        *([("" if cell is None else str(cell)) for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tests_table(found: dict[str, Any]) -> str:
    rows = [
        (each["suite"], each["passed"], each["skipped"], len(each["failures"]), each["wall_s"])
        for each in found["records"]
    ]
    failures = [f"- {one['test']}: {one['message'][:200]}" for each in found["records"] for one in each["failures"]]
    return "\n".join(
        [table(("suite", "passed", "skipped", "failed", "s"), rows), *([""] if failures else []), *failures]
    )


def engine_table(found: dict[str, Any]) -> str:
    """What the engine does, with its floor, and transformers where it did the same; then where a step's time goes."""
    records = [each for each in found["records"] if "kernels" not in each]
    theirs = {_work(each): each for each in records if each["by"] == "transformers"}
    rows = []
    for each in (each for each in records if each["by"] != "transformers"):
        other = theirs.get(_work(each), {})
        faster = f"{other['ms'] / each['ms']:.1f}x" if "ms" in other and "ms" in each else None
        told = each.get("ms", each.get("error", each.get("relative_difference")))
        figures = told, each.get("floor_ms"), each.get("ratio"), each.get("distinct_experts")
        rows.append((_told_work(each), *figures, other.get("ms", other.get("error")), faster))
    head = "work", "ms", "floor, ms", "ratio", "distinct experts", "transformers, ms", "faster by"
    launched = [row for each in found["records"] for row in each.get("kernels", [])]
    profile = [table(("of a denoise step", "launches", "us in all"), launched)] if launched else []
    drafted = drafting(records)
    speeds = [table(("drafts a round", "ms a round", *SPEED_HEAD), drafted)] if drafted else []
    return "\n\n".join([table(head, rows), *speeds, *profile])


def drafting(records: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Of rounds of k drafts and the pass that verifies them: ms, and how many times plain writing's speed that is.

    Where each draft is kept with probability a as long as those before it are, a round gives 1 + a + ... + a^k tokens.
    """
    timed = [each for each in records if "ms" in each]
    read = {each["tokens"]: each["ms"] for each in timed if each["what"] == "read"}
    rows = []
    for count, ms in ((each["drafts"], each["ms"]) for each in timed if each["what"] == "draft"):
        if count + 1 in read and 1 in read:
            cycle = ms + read[count + 1]
            tokens = [sum(kept**place for place in range(count + 1)) for kept in ACCEPTANCES]
            rows.append((count, round(cycle, 2), *(round(each * read[1] / cycle, 2) for each in tokens)))
    return rows


def _work(record: dict[str, Any]) -> tuple[Any, ...]:
    keys = "what", "canvas", "canvases", "context", "tokens", "steps", "drafts"
    return tuple(record.get(key) for key in keys)


def _told_work(record: dict[str, Any]) -> str:
    what, canvas, canvases, context, tokens, steps, drafts = _work(record)
    size = f"{canvases} x {canvas}"
    if tokens or drafts:
        size = f"{tokens} tokens" if tokens else f"{drafts} of them"
    names = {
        "step": "denoise step",
        "fill": f"fill of {steps} steps",
        "read": "tokens written or verified",
        "draft": "drafts",
        "prefill": "prompt read",
        "forward": "pass by the definition",
        "profile": "profile of a step",
        "agreement": "difference of kernels and definition (no ms)",
    }
    return f"{names[what]}, {size}, behind {context}"


def kernels_table(found: dict[str, Any]) -> str:
    """Each kernel's figures, and the fastest other that did the same."""
    rows = []
    for each in (each for each in found["records"] if each["by"] in OURS):
        others = [other for other in found["records"] if _case(other) == _case(each) and other["by"] not in OURS]
        timed = sorted((other for other in others if "us" in other), key=lambda other: other["us"])
        best = f"{timed[0]['us']} ({timed[0]['by']})" if timed else None
        figures = (each.get(key) for key in ("hot_us", "gb_s", "share"))
        rows.append((each["kernel"], each["shape"], each.get("us", each.get("error")), *figures, best))
    return table(("kernel", "shape", "us", "us, in cache", "GB/s", "share of peak", "best other, us"), rows)


def _case(record: dict[str, Any]) -> tuple[str, str]:
    return record["kernel"], record["shape"]


def nano_table(found: dict[str, Any]) -> str:
    keys = "script", "prompt_tokens", "hole_tokens", "steps", "p50_ms", "p90_ms"
    rows = [[each[key] for key in keys] for each in found["records"] if "p50_ms" in each]
    return table(("", "prompt tokens", "hole", "passes", "p50, ms", "p90, ms"), rows)


def write_between(path: Path, found: dict[str, str]) -> None:
    """Puts each table between its markers in `path`, where it has them."""
    text = path.read_text(encoding="utf-8")
    for part, body in found.items():
        begin, end = f"<!-- gpu:{part} -->", f"<!-- /gpu:{part} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        text = pattern.sub(lambda _, whole=f"{begin}\n{body}\n{end}": whole, text)
    path.write_text(text, encoding="utf-8")


def step_plot(found: dict[str, Any]) -> str:
    """Denoise steps as bars, each with the mark of its floor."""
    steps = [each for each in found["records"] if each["what"] == "step" and "ms" in each]
    bars = []
    for each in sorted(steps, key=lambda each: (each["context"], each["canvases"], each["canvas"], each["by"])):
        label = f"{each['canvases']} x {each['canvas']} behind {each['context']}, {each['by']}"
        bars.append((label, each["ms"], each.get("floor_ms"), f"{each['ms']} ms"))
    return svg("A denoise step; the mark is its floor", bars)


def share_plot(found: dict[str, Any]) -> str:
    """The share of the measured peak that each kernel reaches."""
    ours = [each for each in found["records"] if each["by"] in OURS and "share" in each]
    bars = [(f"{each['kernel']}, {each['shape']}", each["share"], 1.0, f"{each['share']:.0%}") for each in ours]
    return svg("Share of what the card can do at best", bars)


def svg(title: str, bars: Sequence[tuple[str, float, float | None, str]]) -> str:
    """Bars of (label, length, mark, text), one below the other."""
    longest = max((max(length, mark or 0.0) for _, length, mark, _ in bars), default=1.0)
    scale = (WIDTH - LEFT - 70) / longest
    lines = [f'<text x="0" y="{BAR}" font-weight="bold">{escape(title)}</text>']
    for row, (label, length, mark, text) in enumerate(bars, start=1):
        top = (row + 1) * BAR
        lines.append(f'<text x="{LEFT - 8}" y="{top + 12}" text-anchor="end">{escape(label)}</text>')
        width = length * scale
        lines.append(f'<rect x="{LEFT}" y="{top + 2}" width="{width:.1f}" height="{BAR - 5}" fill="#4a78b5"/>')
        lines.append(f'<text x="{LEFT + width + 4:.1f}" y="{top + 12}">{escape(text)}</text>')
        if mark is not None:
            lines.append(f'<rect x="{LEFT + mark * scale:.1f}" y="{top}" width="2" height="{BAR - 1}" fill="#c0392b"/>')
    height = (len(bars) + 3) * BAR
    frame = f'xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif"'
    paper = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f'<svg {frame} font-size="11">', paper, *lines, "</svg>", ""])


def write_plots(folder: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for part, name, plot in (("engine", "step_time.svg", step_plot), ("kernels", "kernel_share.svg", share_plot)):
        if found := read(part, folder):
            (target / name).write_text(plot(found), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=FOLDER)
    parser.add_argument("--write", type=Path, nargs="*", default=[], metavar="FILE", help="with markers for tables")
    parser.add_argument("--plots", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    found = tables(arguments.results)
    for path in arguments.write:
        write_between(path, found)
    if arguments.plots:
        write_plots(arguments.results, arguments.plots)
    for part, text in found.items():
        print(f"## {part}\n\n{text}\n")


if __name__ == "__main__":
    main()
