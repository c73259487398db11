"""What the rest of a file says after the same tokens, mixed into what a small model says: a cache language model.

Names and turns of phrase come back within a file, mostly farther away than a small model's prompt reaches. Here each
start of a fill is compared with the text outside of the prompt, and what followed there gets a share of the
probability, the larger the more tokens agree. Caches of this kind are old (Kuhn and De Mori 1990) and do much for
code, which repeats itself locally (Tu, Su and Devanbu 2014).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

import msgspec
import numpy as np
import torch
from torch import Tensor

from midfill.engine.json_files import read_json
from midfill.engine.prompt import Prompt

RECALL = "recall.json"
"""Beside the weights. `engine/nano/fit_recall.py` writes the embedded model's."""

_END = -1
"""Stands behind each piece of text: no token, so nothing agrees across it."""

Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class RecallSettings(msgspec.Struct, frozen=True):
    """What a checkpoint's `recall.json` holds. Other fields are notes."""

    shares: Annotated[tuple[Share, ...], msgspec.Meta(min_length=1, max_length=64)]
    """Of the probability, by how many tokens agree: one, two, and so on; the last for so many or more.

    Each is of what longer agreement leaves, and goes to what followed there, each place alike; the rest is the model's.
    """


class Recall:
    """The text outside of a prompt, and how far each start of a fill agrees with it, place by place.

    Starts are numbered in the order that they are added in; 0 is the prompt itself.
    """

    def __init__(self, settings: RecallSettings, pieces: Sequence[Sequence[int]], prompt: Sequence[int]) -> None:
        self._shares, self._longest = np.array(settings.shares), len(settings.shares)
        self._text = np.array([token for piece in pieces for token in (*piece, _END)], dtype=np.int32)
        self._ends = np.flatnonzero(self._text == _END)
        self._found = dict[int, np.ndarray]()
        agrees = np.zeros(len(self._text), dtype=np.uint16)
        for token in prompt[-self._longest :]:
            agrees = self._longer(agrees, token)
        self._starts = [agrees]

    @classmethod
    def of(cls, settings: RecallSettings | None, prompt: Prompt) -> Self | None:
        """None where there are no settings, or no text outside of the prompt."""
        if settings is None or not any(prompt.elsewhere):
            return None
        return cls(settings, prompt.elsewhere, prompt.tokens)

    def add(self, start: int, token: int) -> None:
        """Adds the start that is one token longer than `start`."""
        self._starts.append(self._longer(self._starts[start], token))

    def keep(self, starts: Sequence[int]) -> None:
        """Forgets all but these, which are renumbered in that order; the first is the prompt itself from now on."""
        self._starts = [self._starts[start] for start in starts]
        self._found.clear()  # or it would grow with all that is typed

    def follower(self, one: int, two: int) -> int | None:
        """What followed the two tokens in the last place, None if they are nowhere."""
        places = np.flatnonzero(self._places_of(one)[:-2] & self._places_of(two)[1:-1] & (self._text[2:] != _END))
        return int(self._text[places[-1] + 2]) if len(places) else None

    def followers(self, first: int, count: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each place that agrees with one of `count` starts from `first` on: (start, token, length), all [places].

        Starts count from `first`; the token is what stands there, and the length how many before it agree.
        """
        agrees = np.concatenate(self._starts[first : first + count])
        places = np.flatnonzero(agrees)
        starts, within = np.divmod(places, len(self._text))
        return starts, self._text[within], np.minimum(agrees[places], self._longest).astype(np.intp)

    @torch.inference_mode()
    def mix(self, probabilities: Tensor, first: int) -> None:
        """Mixes what is recalled into `probabilities` [N, V], the model's after N starts from `first` on, in place."""
        count, size = probabilities.shape
        starts, tokens, lengths = self.followers(first, count)
        left, weights = self._weigh(starts, lengths, count)
        # Each entry once: a card adds up repeated ones in any order.
        entries, which = np.unique(starts * size + tokens, return_inverse=True)
        added = np.bincount(which, weights, minlength=len(entries))
        device = probabilities.device
        probabilities *= torch.from_numpy(left.astype(np.float32)).to(device)[:, None]
        weight = torch.from_numpy(added.astype(np.float32)).to(device)
        probabilities.view(-1).index_add_(0, torch.from_numpy(entries).to(device), weight)

    def _weigh(self, starts: np.ndarray, lengths: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """What is left to the model after each start [count], and what each of the places gets [places]."""
        width = 1 + self._longest
        places = np.bincount(starts * width + lengths, minlength=count * width).reshape(count, width)
        places = places[:, :0:-1].cumsum(axis=1)[:, ::-1]  # that agree in one token or more, in two or more, and so on
        shares = np.where(places, self._shares, 0)
        left = np.cumprod(1 - shares[:, ::-1], axis=1)[:, ::-1]
        each = shares / np.maximum(places, 1)
        each[:, :-1] *= left[:, 1:]
        return left[:, 0], each.cumsum(axis=1)[starts, lengths - 1]

    def _longer(self, agrees: np.ndarray, token: int) -> np.ndarray:
        """How many tokens before each place agree, when `token` comes after those that `agrees` counts: [places]."""
        longer = np.zeros_like(agrees)
        np.multiply(agrees[:-1] + np.uint16(1), self._places_of(token)[:-1], out=longer[1:])
        longer[self._ends] = 0
        return longer

    def _places_of(self, token: int) -> np.ndarray:
        """Where `token` stands: [places] bool."""
        found = self._found.get(token)
        if found is None:
            found = self._found[token] = self._text == token
        return found


def read_recall(directory: Path) -> RecallSettings | None:
    """Those of the checkpoint in `directory`, None without. Raises `CheckpointError` for a file that is wrong."""
    path = directory / RECALL
    return read_json(path, RecallSettings) if path.exists() else None
