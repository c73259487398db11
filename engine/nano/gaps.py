"""Gaps in held-out documents, of the kinds that people leave: rests of lines, whole lines and blocks, and any spans."""

import gzip
import json
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

LANGUAGES = {"python": 0.65, "javascript": 0.12, "typescript": 0.13, "markdown": 0.1}
"""Shares of the gaps; of each language the packages come equally often, and their documents by length.

JSON is left out: what fills it is held to its grammar, and other rules say whether it is shown.
"""
END_OF_FILE = 0.1
"""Share of the gaps with nothing behind them."""
PREFIX_CHARS, SUFFIX_CHARS = 49_152, 12_288
"""As the language server sends."""
LONGEST_MIDDLE = 400
"""Characters."""
MEAN_SPAN = 25
"""Characters."""
PIECE = re.compile(r"[A-Za-z]+|\d+|\s+|.")
"""Where a cursor may stand in a line: words of camelCase and snake_case among them."""


class Gap(NamedTuple):
    """A place in a document of `package`, and the text that stands there."""

    package: str
    language: str
    prefix: str
    suffix: str
    middle: str


Documents = dict[str, dict[str, list[str]]]
"""Texts by language and package."""


def read_documents(corpus: Path) -> Documents:
    """Those of a corpus file, as `corpus.py` writes them."""
    found: Documents = {}
    with gzip.open(corpus, "rt", encoding="utf-8") as lines:
        for document in map(json.loads, lines):
            package = document["path"].partition("/")[0]
            found.setdefault(document["language"], {}).setdefault(package, []).append(document["text"])
    return found


def draw_gaps(documents: Documents, seed: int) -> Iterator[Gap]:
    """Gaps without end; `seed` decides everything."""
    rng = random.Random(seed)
    shares = {language: share for language, share in LANGUAGES.items() if language in documents}
    while True:
        (language,) = rng.choices(list(shares), list(shares.values()))
        package = rng.choice(sorted(documents[language]))
        texts = documents[language][package]
        (text,) = rng.choices(texts, [len(text) for text in texts])
        start, end = _place(text, rng)
        middle = text[start:end]
        if middle.strip() and len(middle) <= LONGEST_MIDDLE:
            suffix = "" if rng.random() < END_OF_FILE else text[end : end + SUFFIX_CHARS]
            yield Gap(package, language, text[max(0, start - PREFIX_CHARS) : start], suffix, middle)


def fitted_on(packages: Iterable[str]) -> set[str]:
    """Every other package. The rest is for examination."""
    return set(sorted(set(packages))[::2])


def _place(text: str, rng: random.Random) -> tuple[int, int]:
    """Where a gap begins and ends: the rest of a line, one to four lines, or any span."""
    begin = text.rfind("\n", 0, rng.randrange(len(text))) + 1
    end = _line_end(text, begin)
    indent = len(text[begin:end]) - len(text[begin:end].lstrip())
    cursor = rng.choice([begin + found.start() for found in PIECE.finditer(text[begin:end])][bool(indent) :] or [begin])
    kind = rng.random()
    if kind < 0.45:
        return cursor, end
    if kind < 0.75:
        for _ in range(0 if rng.random() < 0.6 else rng.randint(1, 3)):
            end = _line_end(text, min(end + 1, len(text)))
        return begin + rng.choice([0, indent]), end
    return cursor, min(len(text), cursor + 1 + int(rng.expovariate(1 / MEAN_SPAN)))


def _line_end(text: str, place: int) -> int:
    found = text.find("\n", place)
    return len(text) if found < 0 else found
