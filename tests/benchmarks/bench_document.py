"""What one keystroke costs the text store: a JSON line on stdout a kind of file, each of 1 MiB.

A keystroke is its didChange, the place of the cursor and the window that the engine is sent. Times are the thread's
own: it waits for nothing, so what else the machine does is left out.
"""

import json
import statistics
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from lsprotocol.types import Position, Range, TextDocumentContentChangePartial

from midfill.server.document import Document, Encoding

FILE_CHARS = 1 << 20
KEYSTROKES = 500


def source(line: str) -> str:
    """Numbered lines, as many as make a file."""
    text = "".join(line.format(number) for number in range(FILE_CHARS // len(line)))
    return text[:FILE_CHARS]


FILES = {
    "lines": source("    value_{} = compute(argument, other)  # why\n"),
    "crlf": source("    value_{} = compute(argument, other)  # why\r\n"),
    "unicode lines": source("    value_{} = compute('中文😀', other)  # é\n"),
    "one line": source("value_{}=compute(argument,other);"),
    "one unicode line": source("value_{}=compute('中文😀',other);"),
    "empty lines": source("\n"),
}


def key(document: Document, version: int, line: int, character: int) -> None:
    """Type one character and take the window around the cursor."""
    start = Position(line, character)
    edit = TextDocumentContentChangePartial(range=Range(start, start), text="\n" if version % 40 == 0 else "x")
    document.apply([edit], version)
    document.window(document.place(Position(line, character + 1)))


def times_ms(action: Callable[[int], None]) -> list[float]:
    """Of each keystroke."""
    times: list[float] = []
    for number in range(KEYSTROKES):
        started = time.thread_time()
        action(number)
        times.append((time.thread_time() - started) * 1e3)
    return times


def measure(name: str, text: str, encoding: Encoding) -> dict[str, Any]:
    """Typing in the middle of the file, then the same with a cursor that jumps to and fro."""
    started = time.thread_time()
    document = Document("file:///bench", "python", 0, text, encoding)
    open_ms = (time.thread_time() - started) * 1e3
    middle = document.position(document.place_at(FILE_CHARS // 2))
    versions = count(1)
    typing = times_ms(lambda n: key(document, next(versions), middle.line, middle.character + n % 20))
    num_lines = len(document.lines)
    jumping = times_ms(lambda n: key(document, next(versions), n * 7919 % num_lines, middle.character))
    result = {
        "bench": "document",
        "file": name,
        "encoding": encoding,
        "chars": FILE_CHARS,
        "open_ms": round(open_ms, 1),
    }
    for kind, times in (("typing", typing), ("jumping", jumping)):
        result[f"{kind}_p50_ms"] = round(statistics.median(times), 3)
        result[f"{kind}_p95_ms"] = round(statistics.quantiles(times, n=20)[-1], 3)
    return result


def main() -> None:
    for name, text in FILES.items():
        encodings: tuple[Encoding, ...] = ("utf-8", "utf-16")
        for encoding in encodings:
            print(json.dumps(measure(name, text, encoding)), flush=True)


if __name__ == "__main__":
    main()
