"""Trains nano's tokenizer: byte-level BPE of 8192 entries in which every newline is a token of its own.

`python engine/nano/train_tokenizer.py` reads .nano/train.jsonl.gz and writes the `tokenizer.json` that the
engine loads. Skips it when that file is there: weights belong to the ids they were trained with.
"""

import argparse
import gzip
import json
import logging
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from contamination import WORK
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

DEFAULT_OUT = WORK.parent / "engine/midfill/engine/models/nano/tokenizer.json"
VOCABULARY_SIZE = 8192
SPECIAL_TOKENS = (
    "<pad>", "<eos>", "<bos>", "<unk>", "<|suffix|>", "<|prefix|>", "<|end|>",
    "<|python|>", "<|json|>", "<|javascript|>", "<|typescript|>", "<|markdown|>", "<|yaml|>", "<|text|>",
    "<|file|>", "<|reserved|>",
)  # fmt: skip
# Indentation and newlines stand apart, so that a hole that starts or ends at a line end cuts no token in two.
# A lone space joins the word, number or operator after it.
PIECE = r"\n|\r|[ ]{2,}|\t+| ?[^\W\d]+| ?\d| ?[^\s\w]{1,4}|\s"
# Python-heavy, like the corpus.
SAMPLE_BYTES = {
    "python": 27_000_000, "json": 4_000_000, "javascript": 3_000_000, "typescript": 3_000_000,
    "markdown": 2_000_000, "yaml": 500_000, "text": 500_000,
}  # fmt: skip
SEED = 8192
# How byte-level BPE spells "\n".
NEWLINE = "Ċ"

log = logging.getLogger(__name__)


def read_texts(corpus: Path) -> Iterator[tuple[str, str]]:
    """(language, text) of each document in a corpus file."""
    with gzip.open(corpus, "rt", encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)
            yield document["language"], document["text"]


def sample(documents: list[tuple[str, str]], budget: dict[str, int]) -> list[str]:
    """Texts drawn with a fixed seed until each language has used its bytes of `budget`."""
    drawn, used = [], Counter[str]()
    for language, text in random.Random(SEED).sample(documents, len(documents)):
        if used[language] < budget[language]:
            used[language] += len(text.encode())
            drawn.append(text)
    return drawn


def untrained() -> Tokenizer:
    """A byte-level BPE tokenizer with the piece rule above and no merges; text goes through it unchanged."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    split = pre_tokenizers.Split(Regex(PIECE), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(texts: list[str], vocabulary_size: int = VOCABULARY_SIZE) -> Tokenizer:
    """The tokenizer trained on `texts`: special tokens at 0..15, then the 256 bytes, then merges."""
    tokenizer = untrained()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=32,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def check_vocabulary(tokenizer: Tokenizer, vocabulary_size: int = VOCABULARY_SIZE) -> None:
    """Raise ValueError unless the ids are laid out as promised and no token joins a newline to anything."""
    if tokenizer.get_vocab_size() != vocabulary_size:
        raise ValueError(f"wanted {vocabulary_size} entries, got {tokenizer.get_vocab_size()}")
    if any(tokenizer.token_to_id(token) != index for index, token in enumerate(SPECIAL_TOKENS)):
        raise ValueError("the special tokens are not at 0..15 in order")
    alphabet = {tokenizer.token_to_id(symbol) for symbol in pre_tokenizers.ByteLevel.alphabet()}
    first = len(SPECIAL_TOKENS)
    if alphabet != set(range(first, first + 256)):
        raise ValueError("the 256 byte symbols do not follow the special tokens")
    for token in tokenizer.get_vocab():
        if NEWLINE in token and token != NEWLINE:
            raise ValueError(f"token {token!r} joins a newline to other text")


def check_round_trip(tokenizer: Tokenizer, texts: list[str]) -> None:
    """Raise ValueError for a text that decoding does not give back."""
    for text in texts:
        ids = tokenizer.encode(text).ids
        if tokenizer.decode(ids, skip_special_tokens=False) != text:
            raise ValueError(f"a text of {len(text)} characters does not survive encoding and decoding")


def awkward_texts(documents: list[tuple[str, str]]) -> list[str]:
    """200 drawn documents, half of them with CRLF, and texts of emoji, controls and special tokens' names."""
    drawn = [text for _, text in random.Random(SEED + 1).sample(documents, min(200, len(documents)))]
    with_crlf = [text.replace("\n", "\r\n") for text in drawn[::2]]
    made = [
        "a\r\n\r\n\rb\r",
        "👩‍👩‍👧 naïve ﬁ \u0301 漢字 \U0010ffff",
        "\t \t\x00\x7f\u2028\u00a0 x",
        "<pad> <|end|>\n<eos>",
    ]
    return drawn[1::2] + with_crlf + made


def main() -> None:
    """Train on a sample of the corpus, check what was promised, and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    if options.out.exists():
        log.info("the tokenizer is already at %s", options.out)
        return
    documents = list(read_texts(options.work / "train.jsonl.gz"))
    tokenizer = train(sample(documents, SAMPLE_BYTES))
    check_vocabulary(tokenizer)
    tokenizer.encode_special_tokens = True
    check_round_trip(tokenizer, awkward_texts(documents))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(options.out))
    log.info("%d entries -> %s", tokenizer.get_vocab_size(), options.out)


if __name__ == "__main__":
    main()
