"""The tokenizer's promises and the packed arrays, trained on a few lines made here."""

import numpy as np
import pytest
from pack import pack
from tokenizers import Tokenizer, models
from train_tokenizer import (
    DEFAULT_OUT,
    SPECIAL_TOKENS,
    VOCABULARY_SIZE,
    awkward_texts,
    check_round_trip,
    check_vocabulary,
    sample,
    train,
)

TEXT = """def total(values):
    result = 0

    for value in values:
        result += value
    return result
"""
SIZE = 300


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    tokenizer = train([TEXT, '{\n  "total": 1234\n}\n', "a\r\nb\tc\n"] * 20, SIZE)
    tokenizer.encode_special_tokens = True
    return tokenizer


@pytest.fixture(scope="module")
def shipped() -> Tokenizer:
    if not DEFAULT_OUT.exists():
        pytest.skip("no tokenizer.json in this checkout")
    tokenizer = Tokenizer.from_file(str(DEFAULT_OUT))
    tokenizer.encode_special_tokens = True
    return tokenizer


def test_vocabulary_is_laid_out_as_promised(tokenizer: Tokenizer) -> None:
    check_vocabulary(tokenizer, SIZE)


def test_shipped_tokenizer_keeps_the_promises(shipped: Tokenizer) -> None:
    check_vocabulary(shipped, VOCABULARY_SIZE)
    check_round_trip(shipped, awkward_texts([("python", TEXT)]))


def test_wrong_size_is_reported(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match=f"wanted 8192 entries, got {SIZE}"):
        check_vocabulary(tokenizer)


def test_token_that_joins_a_newline_is_reported(tokenizer: Tokenizer) -> None:
    vocabulary = dict(tokenizer.get_vocab())
    last = max(vocabulary, key=vocabulary.__getitem__)
    vocabulary["Ċdef"] = vocabulary.pop(last)
    joined = Tokenizer(models.BPE(vocabulary, [], unk_token=None))
    with pytest.raises(ValueError, match="joins a newline"):
        check_vocabulary(joined, SIZE)


def test_every_newline_is_one_token(tokenizer: Tokenizer) -> None:
    newline = tokenizer.get_vocab()["Ċ"]
    assert tokenizer.encode(TEXT).ids.count(newline) == TEXT.count("\n")


def test_indentation_is_a_token_of_its_own(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("\n    return result").tokens[:2] == ["Ċ", "ĠĠĠĠ"]


def test_digits_stand_alone(shipped: Tokenizer) -> None:
    assert shipped.encode("x = 1234").tokens == ["x", "Ġ=", "Ġ1", "2", "3", "4"]


def test_awkward_texts_survive_encoding(tokenizer: Tokenizer) -> None:
    check_round_trip(tokenizer, awkward_texts([("python", TEXT)] * 5))


def test_spelled_special_token_is_plain_text(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("<pad><|end|>").ids
    assert min(ids) >= len(SPECIAL_TOKENS)


def test_sample_stops_at_the_budget_of_each_language() -> None:
    documents = [("python", "p" * 100)] * 50 + [("json", "j" * 100)] * 50
    drawn = sample(documents, {"python": 1000, "json": 300})
    assert sum(text[0] == "p" for text in drawn) == 10
    assert sum(text[0] == "j" for text in drawn) == 3


def test_packed_documents_decode_to_their_texts_and_languages(tokenizer: Tokenizer) -> None:
    documents = [("python", TEXT), ("json", '{"a": "<eos>"}\n'), ("markdown", "# A\n"), ("yaml", "a: 1\n")]
    packed = pack(documents, tokenizer)
    assert (packed.ids.dtype, packed.offsets.dtype, packed.languages.dtype) == (np.uint16, np.int64, np.uint8)
    unpacked = []
    for first, last, language in zip(packed.offsets, packed.offsets[1:], packed.languages, strict=False):
        text = tokenizer.decode(packed.ids[first:last].tolist(), skip_special_tokens=False)
        unpacked.append((SPECIAL_TOKENS[language].strip("<|>"), text))
    assert sorted(unpacked) == sorted(documents)
    assert packed.ids.min() >= len(SPECIAL_TOKENS)


def test_packing_twice_gives_the_same_order(tokenizer: Tokenizer) -> None:
    documents = [("python", f"value = {n}\n") for n in range(50)]
    first, second = pack(documents, tokenizer), pack(documents, tokenizer)
    assert np.array_equal(first.ids, second.ids)
    assert not np.array_equal(first.ids, pack(documents[::-1], tokenizer).ids)
