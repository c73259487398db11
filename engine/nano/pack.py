"""Packs the corpus splits into arrays that training maps into memory: `python engine/nano/pack.py`.

For each split it writes, documents in a shuffled order: `<split>.npy`, uint16 ids of all texts one after
another; `<split>_docs.npy`, int64 offsets [num_docs + 1]; `<split>_lang.npy`, uint8 [num_docs], the id of the
language's special token. All ids are plain text's: only the offsets tell where a document starts.
Skips a split that is there.
"""

import argparse
import logging
import random
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from contamination import WORK
from numpy.typing import NDArray
from tokenizers import Tokenizer
from train_tokenizer import DEFAULT_OUT, read_texts

SEED = 20
BATCH_DOCUMENTS = 512

log = logging.getLogger(__name__)


class Packed(NamedTuple):
    """One split: `ids` uint16 [T], `offsets` int64 [num_docs + 1], `languages` uint8 [num_docs]."""

    ids: NDArray[np.uint16]
    offsets: NDArray[np.int64]
    languages: NDArray[np.uint8]


def pack(documents: list[tuple[str, str]], tokenizer: Tokenizer) -> Packed:
    """Encode (language, text) documents, shuffled in an order that is always the same.

    A text that spells a special token gets the ids of its characters, never the special id.
    """
    tokenizer.encode_special_tokens = True
    shuffled = random.Random(SEED).sample(documents, len(documents))
    pieces: list[NDArray[np.uint16]] = []
    for start in range(0, len(shuffled), BATCH_DOCUMENTS):
        texts = [text for _, text in shuffled[start : start + BATCH_DOCUMENTS]]
        encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        pieces += [np.array(encoding.ids, dtype=np.uint16) for encoding in encodings]
    offsets = np.zeros(len(pieces) + 1, dtype=np.int64)
    np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
    languages = [tokenizer.token_to_id(f"<|{language}|>") for language, _ in shuffled]
    ids = np.concatenate([*pieces, np.empty(0, np.uint16)])
    return Packed(ids, offsets, np.array(languages, dtype=np.uint8))


def save(packed: Packed, folder: Path, split: str) -> None:
    """Write the three arrays of a split into `folder`."""
    np.save(folder / f"{split}.npy", packed.ids)
    np.save(folder / f"{split}_docs.npy", packed.offsets)
    np.save(folder / f"{split}_lang.npy", packed.languages)


def describe(documents: list[tuple[str, str]], packed: Packed, tokenizer: Tokenizer) -> list[str]:
    """A line for each language, the most bytes first: documents, megabytes, tokens and bytes a token."""
    num_bytes = Counter[str]()
    for language, text in documents:
        num_bytes[language] += len(text.encode())
    lines = []
    for language, size in num_bytes.most_common():
        chosen = packed.languages == tokenizer.token_to_id(f"<|{language}|>")
        num_tokens = int(np.diff(packed.offsets)[chosen].sum())
        rate = f"{size / num_tokens:.3f} bytes a token"
        lines.append(f"{language}: {chosen.sum()} documents, {size / 1e6:.2f} MB, {num_tokens} tokens, {rate}")
    return lines


def main() -> None:
    """Pack the splits and log what they hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--tokenizer", type=Path, default=DEFAULT_OUT)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    tokenizer = Tokenizer.from_file(str(options.tokenizer))
    for split in ("val", "exercises", "functions", "train"):
        if (options.work / f"{split}_lang.npy").exists():
            log.info("%s is already packed", split)
            continue
        documents = list(read_texts(options.work / f"{split}.jsonl.gz"))
        packed = pack(documents, tokenizer)
        save(packed, options.work, split)
        log.info("%s: %d documents, %d tokens", split, len(packed.languages), len(packed.ids))
        for line in describe(documents, packed, tokenizer):
            log.info("  %s", line)


if __name__ == "__main__":
    main()
