"""Recorded typing replayed through the language server: a JSON line a trace.

Each edit is sent as soon as the answer for the one before is there. The recordings are in `../shared`; where that is
not, this says so and does nothing.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.server.editor import home
from tests.server.replay import Edit, Report, Trace, replay

BENCH = Path(__file__).parents[3] / "shared" / "bench"
LANGUAGES = {"sveltecomponent": "svelte", "json-crdt-blog-post": "markdown", "automerge-paper": "latex"}
ANYTHING = [{"text": "suggested", "steps": 2}]
KINDS = {"invoked": 1, "automatic": 2}


def read_trace(path: Path, start: int, limit: int) -> tuple[Trace, str]:
    """So many edits of a trace after the first `start`, and the text that it ends with, both as `trace2lsp.py` says."""
    name = path.name.removesuffix(".json.gz")
    language = LANGUAGES.get(name, "plaintext")
    cut = ["--from", str(start), "--to", str(start + limit), "--language", language]
    command = [sys.executable, str(BENCH / "trace2lsp.py"), str(path), *cut]
    opened, *lines = map(json.loads, subprocess.run(command, check=True, capture_output=True).stdout.splitlines())
    at_ms, edits = 0.0, list[Edit]()
    for line in lines[:-1]:
        at_ms += max(line["t_ms"] or 0.0, 1000.0)  # most have no times or whole seconds: no edit overtakes another
        edits.append(Edit(at_ms, line["msg"]["params"]["contentChanges"]))
    text = opened["msg"]["params"]["textDocument"]["text"]
    return Trace(language, text, edits), lines[-1]["expect"]["text"]


def line(path: Path, report: Report, arguments: argparse.Namespace) -> dict[str, Any]:
    """What is printed of a replay."""
    times_ms = sorted(report.times_ms)
    return {
        "bench": "replay",
        "trace": path.name.removesuffix(".json.gz"),
        "engine": "scripted" if arguments.scripted else "nano",
        "first_edit": arguments.start,
        "edits": report.edits,
        "fills": report.fills,
        "suggested": report.suggested,
        "prompt_tokens": report.prompt_tokens,
        "cached_share": round(report.cached_share, 4),
        "mismatches": report.mismatches,
        "stale": len(report.stale),
        "p50_ms": round(statistics.median(times_ms), 1),
        "p90_ms": round(times_ms[int(0.9 * (len(times_ms) - 1))], 1),
        "engine_rss_bytes": [report.engine_rss[0], report.engine_rss[-1]],
        "server_rss_bytes": [report.server_rss[0], report.server_rss[-1]],
    }


async def measure(path: Path, arguments: argparse.Namespace, env: dict[str, str]) -> dict[str, Any]:
    trace, expected = read_trace(path, arguments.start, arguments.limit)
    rules, kind = ANYTHING if arguments.scripted else None, KINDS[arguments.kind]
    settings = {"debounceMs": 0, "maxTokens": arguments.max_tokens, "statistics": False}
    started = time.perf_counter()
    report = await replay(env, trace, rules, kind=kind, parts=4, **settings)
    found = line(path, report, arguments)
    found["mismatches"] += report.text != expected
    return {**found, "seconds": round(time.perf_counter() - started, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=500, metavar="N", help="edits of each trace")
    parser.add_argument("--from", type=int, default=0, dest="start", metavar="N", help="edits to begin with")
    parser.add_argument("--scripted", action="store_true", help="no model: texts and the server alone")
    parser.add_argument("--kind", choices=KINDS, default="invoked", help="automatic is silent after a delete")
    parser.add_argument("--max-tokens", type=int, default=64, help="the longest fill")
    parser.add_argument("traces", nargs="*", help="names; all by default")
    arguments = parser.parse_args()
    paths = sorted((BENCH / "dev" / "editing-traces").glob("*.json.gz"))
    if not paths:
        print(json.dumps({"bench": "replay", "skipped": f"no recordings in {BENCH}"}))
    lines: list[dict[str, Any]] = []
    for path in paths:
        if not arguments.traces or path.name.removesuffix(".json.gz") in arguments.traces:
            with home() as env:
                lines.append(asyncio.run(measure(path, arguments, env)))
            print(json.dumps(lines[-1]), flush=True)
    if tokens := sum(each["prompt_tokens"] for each in lines):
        cached = sum(each["prompt_tokens"] * each["cached_share"] for each in lines)
        print(json.dumps({"bench": "replay", "trace": "all", "cached_share": round(cached / tokens, 4)}))


if __name__ == "__main__":
    main()
