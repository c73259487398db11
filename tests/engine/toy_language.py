"""A language so small that what a trained model only learns is computed exactly: words that follow words, letter by
letter, a hidden Markov model. Whatever fills its gaps wrong is not the model, but what is made of its predictions.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from tests.engine.small_model import small_model
from torch import Tensor

from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.kv import KVSlot
from midfill.engine.sampling import accept_mask

Reals = NDArray[np.float64]

WORDS = (
    *("a", "n", "x", "lo", "hi", "in", "get", "set", "map", "run", "key", "row", "sum", "end", "list", "node", "left"),
    *("size", "open", "copy", "merge", "range", "value", "count", "table", "queue", "buffer", "offset", "parent"),
    *("column", "current", "pending"),
)
SIGNS = ("= ", "+ ", "( ", ") ", ": ", "; ", ", ", "[ ", "] ", "-> ")
PAD = 0
CERTAIN = 1 - 1e-4
"""How far a token is believed that the sampler has kept, or was given."""


class ToyLanguage:
    """Words and the chances of one after another. A state is a letter of a word; a belief [..., S] weighs them."""

    def __init__(self, seed: int, concentration: float) -> None:
        """Of small `concentration` few words follow each word."""
        random = np.random.default_rng(seed)
        words = [*(f"{word} " for word in WORDS), *SIGNS]
        letters = sorted(set("".join(words)))
        self.vocab_size = 1 + len(letters)
        self.tokens = np.array([1 + letters.index(letter) for word in words for letter in word])
        """[S] the token of each state."""
        chances = random.dirichlet(np.full(len(words), concentration), len(words))
        self.next_word = 0.999 * chances + 0.001 / len(words)
        lengths = np.array([len(word) for word in words])
        self.ends = lengths.cumsum() - 1
        self.starts = self.ends - lengths + 1

    def sample(self, random: np.random.Generator, length: int) -> list[int]:
        """The tokens of a text."""
        tokens: list[int] = []
        word = int(random.integers(len(self.starts)))
        while len(tokens) < length:
            tokens += self.tokens[self.starts[word] : self.ends[word] + 1].tolist()
            word = int(random.choice(len(self.starts), p=self.next_word[word]))
        return tokens[:length]

    def belief(self, tokens: Sequence[int]) -> Reals:
        """Where in its words a text is that ends with `tokens`: [S]."""
        anywhere = np.full(len(self.tokens), 1 / len(self.tokens))
        if not tokens:
            return anywhere
        seen = np.array([tokens], dtype=np.int64)
        return self.read(anywhere, self.evidence(seen, seen != PAD))[0][0, -1]

    def step(self, belief: Reals) -> Reals:
        """The belief one letter on."""
        moved = np.zeros_like(belief)
        moved[..., 1:] = belief[..., :-1]
        moved[..., self.starts] = belief[..., self.ends] @ self.next_word
        return moved

    def step_back(self, chances: Reals) -> Reals:
        """What the chances of what follows each state say of the state before."""
        moved = np.zeros_like(chances)
        moved[..., :-1] = chances[..., 1:]
        moved[..., self.ends] = chances[..., self.starts] @ self.next_word.T
        return moved

    def read(self, belief: Reals, evidence: Reals) -> tuple[Reals, Reals]:
        """Beliefs [R, N, S] that N letters leave one after another, and log-likelihoods [R, N] of each letter.

        They start from `belief` [S] or [R, S]; `evidence` [R, N, V] is how likely what was seen is for each token.
        """
        seen = evidence.take(self.tokens, axis=-1)
        beliefs, likelihoods = np.empty_like(seen), np.empty(seen.shape[:2])
        for place in range(seen.shape[1]):
            moved = self.step(belief) * seen[:, place]
            likelihoods[:, place] = moved.sum(axis=-1)
            beliefs[:, place] = belief = moved / likelihoods[:, place, None]
        return beliefs, np.log(likelihoods)

    def posterior(self, belief: Reals, evidence: Reals) -> Reals:
        """What stands at each place, by all that was seen on both sides: [R, N, V]; the arguments are `read`'s."""
        beliefs, _ = self.read(belief, evidence)
        seen, behind = evidence.take(self.tokens, axis=-1), np.ones(beliefs[:, 0].shape)
        for place in reversed(range(beliefs.shape[1])):
            beliefs[:, place] *= behind
            behind = self.step_back(seen[:, place] * behind)
            behind /= behind.max(axis=-1, keepdims=True)
        return self._of_tokens(beliefs)

    def likeliest(self, belief: Reals, evidence: Reals) -> list[int]:
        """Tokens of the likeliest sequence of states, by Viterbi; `belief` [S], `evidence` [N, V]."""
        seen = np.log(evidence[:, self.tokens])
        with np.errstate(divide="ignore"):
            moves, best = np.log(self.step(np.eye(len(self.tokens)))), np.log(self.step(belief)) + seen[0]
        came_from: list[NDArray[np.int64]] = []
        for each in seen[1:]:
            ways = best[:, None] + moves
            came_from.append(ways.argmax(axis=0))
            best = ways.max(axis=0) + each
        states = [int(best.argmax())]
        for origin in reversed(came_from):
            states.append(int(origin[states[-1]]))
        return self.tokens[states[::-1]].tolist()

    def follow(self, beliefs: Reals) -> Reals:
        """The chances of the next token: [..., S] -> [..., V]."""
        return self._of_tokens(self.step(beliefs))

    def _of_tokens(self, beliefs: Reals) -> Reals:
        chances = beliefs @ np.eye(self.vocab_size)[self.tokens]
        return chances / chances.sum(axis=-1, keepdims=True)

    def evidence(self, tokens: NDArray[np.int64], known: NDArray[np.bool_]) -> Reals:
        """Of tokens [R, N] of which those that are `known` [R, N] are nearly certain, the others noise: [R, N, V]."""
        certain = CERTAIN * np.eye(self.vocab_size)[tokens] + (1 - CERTAIN) / self.vocab_size
        return np.where((known & (tokens != PAD))[..., None], certain, 1.0)


class ToyPasses:
    """The passes of a model that knows the language. A hidden state is the log-probabilities of tokens.

    Self-conditioning tells it the last prediction and, one-hot, what is pinned: so it knows by the sampler's own rule
    which tokens of the canvas were kept, and that the others are noise.
    """

    def __init__(self, language: ToyLanguage, entropy_bound: float) -> None:
        self.language, self.entropy_bound = language, entropy_bound
        self._remembered: tuple[list[int], Reals] | None = None

    def read(self, slot: KVSlot, tokens: Sequence[int]) -> Tensor:
        return self.read_rows(slot, torch.tensor([list(tokens)]))[0]

    def read_rows(self, slot: KVSlot, ids: Tensor) -> Tensor:
        known = np.ones(ids.shape, dtype=bool)
        beliefs, _ = self.language.read(self.belief(slot), self.language.evidence(ids.numpy(), known))
        return _log(self.language.follow(beliefs))

    def denoise(self, slot: KVSlot, canvas: Tensor, soft: Tensor | None) -> Tensor:
        assert soft is not None, "pins are marked from the first step"
        told = soft / soft.shape[-1] ** 0.5
        entropies = torch.special.entr(told).sum(dim=-1)
        known = accept_mask(entropies, told.sum(dim=-1) > 0.5, self.entropy_bound)
        evidence = self.language.evidence(canvas.numpy(), known.numpy())
        return _log(self.language.posterior(self.belief(slot), evidence))

    def belief(self, slot: KVSlot) -> Reals:
        """Where in its words the text is that is cached: [S]."""
        if self._remembered is None or self._remembered[0] != slot.tokens:
            self._remembered = list(slot.tokens), self.language.belief(slot.tokens)
        return self._remembered[1]


def toy_model(language: ToyLanguage, entropy_bound: float) -> DiffusionGemma:
    """A model without layers, whose embedding leaves hidden states as they are: all it knows is in its passes."""
    size = language.vocab_size
    shape = small_model(size).config
    config = msgspec.structs.replace(shape, hidden_size=size, layers=(), final_logit_softcapping=None)
    model = DiffusionGemma(config).eval().requires_grad_(False)
    model.embed_tokens.weight.copy_(torch.eye(size))
    model.kernels = ToyPasses(language, entropy_bound)
    return model


def _log(chances: Reals) -> Tensor:
    """As a model has them: float32, and none is impossible."""
    return torch.from_numpy(np.log(np.maximum(chances, 1e-30))).float()
