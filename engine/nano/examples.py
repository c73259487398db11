"""Training examples of nano: documents cut into a prompt and canvases, laid out as the engine will lay them out.

The stream is what the causal mode reads: `<bos> language <|suffix|> suffix window <|prefix|> prefix window`, then the
middle and the first tokens of the suffix. A canvas stands at a hole of that document: `hole | suffix head`. Only the
first canvas's suffix goes on in the suffix window; the others stand at earlier holes, for more to learn from a stream.
"""

from pathlib import Path

import numpy as np
import torch
from losses import Batch

PAD, EOS, BOS = 0, 1, 2
SUFFIX, PREFIX, END, PYTHON = 4, 5, 6, 7
SUFFIX_HEAD = 16
"""Suffix tokens that follow the middle in the stream; the same number is scored when candidates are compared."""
LONGEST_REST = 64
"""Tokens behind a gap in its line that are not quoted, about as many as the engine's 200 characters are."""
MIN_PINNED = 8
"""Canvas positions that a hole always leaves to the suffix head."""


class Corpus:
    """A packed split: token ids, document offsets, one language id a document, and where the newlines are."""

    def __init__(self, folder: Path, split: str, newline: int) -> None:
        self.ids = np.load(folder / f"{split}.npy", mmap_mode="r")
        self.offsets = np.load(folder / f"{split}_docs.npy")
        self.languages = np.load(folder / f"{split}_lang.npy")
        self.newlines = np.flatnonzero(self.ids == newline)

    def document(self, position: int) -> tuple[int, int, int]:
        """(start, end, language id) of the document that holds token `position`."""
        index = int(np.searchsorted(self.offsets, position, side="right")) - 1
        return int(self.offsets[index]), int(self.offsets[index + 1]), int(self.languages[index])

    def line_start(self, position: int) -> int:
        """The token after the last newline before `position`."""
        index = int(np.searchsorted(self.newlines, position)) - 1
        return int(self.newlines[index]) + 1 if index >= 0 else 0

    def newline(self, position: int, lines: int = 1) -> int:
        """Where the `lines`-th newline at or after `position` is."""
        index = int(np.searchsorted(self.newlines, position)) + lines - 1
        return int(self.newlines[index]) if index < len(self.newlines) else len(self.ids)


class Examples:
    """Random examples of a corpus. `rng` decides everything, so a seed reproduces the run."""

    def __init__(self, corpus: Corpus, rng: np.random.Generator) -> None:
        self.corpus, self.rng = corpus, rng

    def batch(self, documents: int, stream: int, canvases: int, canvas: int) -> Batch:
        """`documents` streams of `stream` tokens, each with `canvases` canvases of `canvas` positions."""
        columns = zip(*(self._example(stream, canvases, canvas) for _ in range(documents)), strict=True)
        streams, counted, tokens, hole, anchors = (torch.from_numpy(np.stack(column)) for column in columns)
        targets, holes = (mask.flatten().nonzero().flatten() for mask in (counted, hole))
        return Batch(streams, targets, tokens, hole, holes, anchors)

    def _example(self, stream: int, canvases: int, canvas: int) -> tuple[np.ndarray, ...]:
        corpus, rng = self.corpus, self.rng
        position, (low, high, language) = self._draw()
        start, end = self._hole(position, low, high, canvas - MIN_PINNED)
        if rng.random() < 0.12:
            high = end  # the cursor stands at the end of the file
        quoted = self._line_end(end, high)
        window = self._tokens(quoted, quoted + int(rng.integers(8, stream // 4)), high) if rng.random() < 0.75 else []
        room = stream - 4 - len(window) - (end - start) - SUFFIX_HEAD
        first = self._window_start(start, start - room, low)
        ids = [
            BOS,
            language,
            SUFFIX,
            *window,
            PREFIX,
            *corpus.ids[first:end],
            *self._tokens(end, end + SUFFIX_HEAD, high),
        ]
        base = 4 + len(window)
        holes = [(start, end)]
        while len(holes) < canvases:
            other = (
                self._hole(int(rng.integers(first, start)), first, end, canvas - MIN_PINNED)
                if start - first > 8
                else holes[0]
            )
            holes.append(other)
        laid = [self._canvas(*hole, high, canvas) for hole in holes]
        tokens = np.full(stream, PAD, dtype=np.int64)
        tokens[: len(ids)] = ids
        anchors = np.array([base + hole[0] - first for hole in holes])
        return (
            tokens,
            (tokens > END) & (np.arange(stream) > 1) | (tokens == EOS),
            np.concatenate([canvas_ids for canvas_ids, _ in laid]),
            np.concatenate([hole for _, hole in laid]),
            anchors,
        )

    def _draw(self) -> tuple[int, tuple[int, int, int]]:
        """A position and its document, of some length; other languages than Python come at half their share."""
        while True:
            position = int(self.rng.integers(len(self.corpus.ids)))
            low, high, language = self.corpus.document(position)
            if high - low >= 24 and (language == PYTHON or self.rng.random() < 0.5):
                return position, (low, high, language)

    def _line_end(self, position: int, high: int) -> int:
        """Where the suffix window starts: the end of the gap's last line, as in `prompt.py`, unless that is far."""
        end = min(self.corpus.newline(position), high)
        return end if end - position < LONGEST_REST else position

    def _window_start(self, start: int, wanted: int, low: int) -> int:
        """Where the prefix window starts: the document's start, or the first line start within the window."""
        if wanted <= low:
            return low
        line = self.corpus.newline(wanted) + 1
        return line if line < start else wanted

    def _tokens(self, start: int, stop: int, high: int) -> list[int]:
        """Document tokens [start, stop), with an end-of-file token where the document ends before `stop`."""
        ids = self.corpus.ids[start : min(stop, high)].tolist()
        return [*ids, EOS] if stop > high else ids

    def _hole(self, position: int, low: int, high: int, limit: int) -> tuple[int, int]:
        """A hole of 1 to `limit` tokens near `position`: the rest of a line, whole lines, or any span."""
        rng, corpus = self.rng, self.corpus
        kind = rng.random()
        if kind < 0.35:
            start, end = position, corpus.newline(position)
        elif kind < 0.8:
            lines = 1 if rng.random() < 0.7 else int(rng.integers(2, 5))
            start = max(low, corpus.line_start(position))
            end = corpus.newline(position, lines) + int(rng.random() < 0.6)
        else:
            start, end = position, position + 1 + int(rng.geometric(1 / 8))
        end = min(end, high)
        if not 0 < end - start <= limit:
            start = min(position, high - 1)
            end = min(start + int(rng.integers(1, limit + 1)), high)
        return start, end

    def _canvas(self, start: int, end: int, high: int, canvas: int) -> tuple[np.ndarray, np.ndarray]:
        """(canvas tokens, hole mask) of one hole: just as long as the middle, or longer, ended and padded."""
        length = end - start
        hole = self.corpus.ids[start:end].tolist()
        if self.rng.random() < 0.4 and length < canvas - MIN_PINNED:
            slack = int(self.rng.integers(length + 1, canvas - MIN_PINNED + 1))
            hole += [END] + [PAD] * (slack - length - 1)
        ids = np.full(canvas, PAD, dtype=np.int64)
        tokens = hole + self._tokens(end, end + canvas - len(hole), high)
        ids[: min(canvas, len(tokens))] = tokens[:canvas]
        return ids, np.arange(canvas) < len(hole)
