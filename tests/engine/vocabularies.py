"""Small tokenizers of the two kinds that checkpoints come with, built by the library."""

import heapq
import inspect
import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

GOOGLE_IDS = {
    "<pad>": 0,
    "<eos>": 1,
    "<bos>": 2,
    "<unk>": 3,
    "<mask>": 4,
    "<|tool_response>": 50,
    "<|think|>": 98,
    "<|channel>": 100,
    "<channel|>": 101,
    "<|turn>": 105,
    "<turn|>": 106,
    **{"\n" * length: 106 + length for length in range(1, 8)},
}
"""Of Gemma 4 and DiffusionGemma: the special tokens, and some runs of line breaks."""
GEMMA_MARKS = ("<pad>", "<eos>", "<bos>", "<unk>", "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>")


def byte_level(merges: list[tuple[str, str]]) -> Tokenizer:
    """A byte-level BPE of the 256 bytes and what `merges` make of them, with no rule where words end."""
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(first + second for first, second in merges)]
    tokenizer = Tokenizer(models.BPE({piece: id for id, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def gemma_like() -> Tokenizer:
    """As Google's: no rule where words end, "▁" for a space, bytes for unknown letters, runs of newlines as tokens."""
    learned = Tokenizer(models.BPE(unk_token="<unk>"))
    learned.normalizer = normalizers.Replace(" ", "▁")
    learned.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n+|[^\n]+"), "isolated")
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=list(GEMMA_MARKS), show_progress=False)
    learned.train_from_iterator([inspect.getsource(heapq)], trainer)
    model = json.loads(learned.to_str())["model"]
    runs = ["\n" * length for length in range(1, 8)]
    pieces = [*(f"<0x{byte:02X}>" for byte in range(256)), *runs, "▁" * 5, "漢", "<table>"]
    vocabulary = model["vocab"]
    for piece in pieces:
        vocabulary.setdefault(piece, len(vocabulary))
    merges = [(first, second) for first, second in model["merges"] if "\n" not in first + second]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in [*runs, "<table>"]])
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in GEMMA_MARKS])
    return tokenizer


def google_like() -> Tokenizer:
    """`gemma_like`, where the special tokens and line breaks have the ids that they have in Google's checkpoints."""
    described = json.loads(gemma_like().to_str())
    model = described["model"]
    others = [piece for piece in model["vocab"] if piece not in GOOGLE_IDS]
    unused = set(range(max(GOOGLE_IDS.values()))) - set(GOOGLE_IDS.values())
    first = 1 + max(GOOGLE_IDS.values())
    ids = GOOGLE_IDS | {f"<unused{id}>": id for id in unused} | {piece: first + n for n, piece in enumerate(others)}
    model["vocab"] = ids
    marks = [mark for mark in GOOGLE_IDS if mark.strip()]
    tokenizer = Tokenizer.from_str(json.dumps({**described, "model": model, "added_tokens": []}))
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in ids if not piece.strip("\n")])
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    return tokenizer
