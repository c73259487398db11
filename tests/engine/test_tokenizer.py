"""`midfill.engine.tokenizer`: remembering lines changes no token, and tokens are spelled as the library spells them."""

import heapq
import inspect
import textwrap
import tokenize
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.vocabularies import byte_level, gemma_like
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from midfill.engine.errors import CheckpointError
from midfill.engine.installed import embedded_model
from midfill.engine.tokenizer import LONGEST_REMEMBERED, Tokenizer, heal

Pair = tuple[Tokenizer, tokenizers.Tokenizer]
Save = Callable[[tokenizers.Tokenizer], Pair]

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(path.read_bytes().decode() for path in sorted((ROOT / "fixtures" / "documents").iterdir())),
    *(inspect.getsource(module) for module in (heapq, textwrap, tokenize)),
]

MARKS = ["<|prefix|>", "<|suffix|>", "<|end|>", "<pad>", "<eos>", "<bos>", "<|turn>", "<0x0A>", "<unk>"]
AWKWARD = [
    *("\n", "\r\n", "\r", "\n\n\n", "\r\r\n\n", "\t", "\t\t", " ", "   ", "\x00", "\x0b", "\x0c", "\x85", "\u2028"),
    *(
        "🙂",
        "👩‍👩‍👧",
        "\u0301",
        "\ufeff",
        "漢字",
        "שלום",
        "ة",
        "\U0010ffff",
        "ﬁ",
        "\u00a0",
        "▁",
        "Ġ",
        "Ċ",
        "123",
        "return",
    ),
    *MARKS,
]
insertions = st.lists(st.sampled_from(AWKWARD) | st.text(max_size=8), max_size=6).map("".join)


@st.composite
def edited_documents(draw: st.DrawFn) -> list[str]:
    """A real file and what some edits, each anywhere, make of it; one edit a version."""
    text = draw(st.sampled_from(DOCUMENTS))
    versions = [text]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 3, 80, 2000])))
        text = text[:start] + draw(insertions) + text[end:]
        versions.append(text)
    return versions


def plain(path: Path) -> tokenizers.Tokenizer:
    """The library's own tokenizer, which takes whole texts; as ours, it makes no special token from text."""
    inner = tokenizers.Tokenizer.from_file(str(path))
    inner.encode_special_tokens = True
    return inner


def whole(inner: tokenizers.Tokenizer, text: str) -> list[int]:
    return inner.encode(text, add_special_tokens=False).ids


@pytest.fixture(scope="module")
def nano_file() -> Path:
    return embedded_model() / "tokenizer.json"


@pytest.fixture(scope="module")
def gemma_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gemma") / "tokenizer.json"
    gemma_like().save(str(path))
    return path


@pytest.fixture(scope="module", params=["nano", "gemma-like"])
def pair(request: pytest.FixtureRequest, nano_file: Path, gemma_file: Path) -> Pair:
    """Ours and the library's, of one file. Ours remembers the lines of all the tests before."""
    path = nano_file if request.param == "nano" else gemma_file
    return Tokenizer(path), plain(path)


@pytest.fixture(scope="module")
def nano(nano_file: Path) -> Tokenizer:
    return Tokenizer(nano_file)


@pytest.fixture(scope="module")
def gemma(gemma_file: Path) -> Tokenizer:
    return Tokenizer(gemma_file)


@pytest.fixture
def saved(tmp_path: Path) -> Save:
    """Saves a tokenizer made in a test; gives ours and the library's of that file."""

    def save(inner: tokenizers.Tokenizer) -> Pair:
        path = tmp_path / "tokenizer.json"
        inner.save(str(path))
        return Tokenizer(path), plain(path)

    return save


# Pieces and wholes


@given(versions=edited_documents())
def test_edited_files_have_the_tokens_of_the_whole_text(pair: Pair, versions: list[str]) -> None:
    ours, library = pair
    assert ours.is_line_separable
    for text in versions:
        assert ours.encode(text) == whole(library, text)


@given(text=insertions)
def test_awkward_texts_have_the_tokens_of_the_whole_text(pair: Pair, text: str) -> None:
    ours, library = pair
    assert ours.encode(text) == whole(library, text)


def test_lines_too_long_to_remember_have_the_tokens_of_the_whole_text(
    pair: Pair,
) -> None:
    ours, library = pair
    text = "first\n" + "x = [1, 2]; " * LONGEST_REMEMBERED + "\n\nlast\n"
    assert ours.encode(text) == whole(library, text)


def test_a_token_with_a_newline_after_a_letter_is_found_and_such_texts_are_taken_whole(saved: Save) -> None:
    ours, library = saved(byte_level([(";", "Ċ")]))
    assert not ours.is_line_separable
    assert ours.encode("a;\nb\n") == whole(library, "a;\nb\n")
    assert ours.token_bytes[ours.encode(";\n")[0]] == b";\n"


def test_tokens_that_begin_with_newlines_do_not_prevent_remembering(saved: Save) -> None:
    ours, library = saved(byte_level([("Ċ", "Ċ"), ("č", "Ċ"), ("ĊĊ", "a")]))
    assert ours.is_line_separable
    for text in ("b\n\na", "b\r\n\r\na\n", "\n\n\na", "b\r\r\n"):
        assert ours.encode(text) == whole(library, text)


def test_a_tokenizer_that_adds_a_space_to_each_text_gets_whole_texts(saved: Save) -> None:
    inner = byte_level([])
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    ours, library = saved(inner)
    assert not ours.is_line_separable
    assert ours.encode("a\nb") == whole(library, "a\nb")


# Text and back


@given(versions=edited_documents())
def test_decoding_gives_the_text_back(nano: Tokenizer, versions: list[str]) -> None:
    assert nano.decode(nano.encode(versions[-1])) == versions[-1]


@given(versions=edited_documents())
def test_decoding_gives_the_text_back_where_a_space_is_spelled_by_a_letter(
    gemma: Tokenizer, versions: list[str]
) -> None:
    text = versions[-1].replace("▁", " ")  # which that vocabulary cannot tell from a space
    assert gemma.decode(gemma.encode(text)) == text


@given(text=st.lists(st.sampled_from([*MARKS, " ", "\n", "x"]), max_size=12).map("".join))
def test_marks_in_the_text_are_not_special_tokens(nano: Tokenizer, text: str) -> None:
    ids = nano.encode(text)
    assert not set(nano.special_ids.values()) & set(ids)
    assert nano.decode(ids) == text


def test_special_tokens_have_ids_and_no_text(nano: Tokenizer) -> None:
    assert nano.special("<|prefix|>") == nano.special_ids["<|prefix|>"]
    assert nano.special("<|nonsense|>") is None
    assert nano.decode([nano.special_ids["<bos>"], *nano.encode("x"), nano.special_ids["<eos>"]]) == "x"


def test_half_a_character_is_kept_in_bytes_and_replaced_in_text(nano: Tokenizer) -> None:
    ids = nano.encode("\U0010ffff")
    assert len(ids) > 1
    assert nano.decode_bytes(ids[:1]) + nano.decode_bytes(ids[1:]) == "\U0010ffff".encode()
    assert nano.decode(ids[:1]) == "\ufffd"


# Spelling


def test_each_token_is_spelled_as_the_library_decodes_it(pair: Pair) -> None:
    ours, library = pair
    special = set(ours.special_ids.values())
    assert len(ours.token_bytes) == library.get_vocab_size()
    for id, spelled in enumerate(ours.token_bytes):
        decoded = "" if id in special else library.decode([id], skip_special_tokens=False)
        assert spelled.decode("utf-8", errors="replace") == decoded


def test_each_byte_has_a_token(pair: Pair) -> None:
    assert {bytes([byte]) for byte in range(256)} <= set(pair[0].token_bytes)


def test_an_added_token_stands_for_the_text_that_it_is_written_in(saved: Save) -> None:
    inner = byte_level([])
    inner.add_tokens([AddedToken("naïve é", normalized=False)])
    ours, library = saved(inner)
    ids = ours.encode("a naïve é")
    assert ids == whole(library, "a naïve é")
    assert len(ids) == 3
    assert ours.decode(ids) == "a naïve é"


def test_a_vocabulary_with_gaps_has_empty_spellings_there(saved: Save) -> None:
    pieces = {piece: 2 * id for id, piece in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = tokenizers.Tokenizer(models.BPE(pieces, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    ours, _ = saved(inner)
    assert len(ours.token_bytes) == 511
    assert ours.token_bytes[1] == b""
    assert ours.decode(ours.encode("é\n")) == "é\n"


# What a text may go on with


starts = st.sampled_from(["", " ", "re", "    ", " return", "é", "\n", "#", "漢", "\x00", " nonsense"]).map(str.encode)


@given(start=starts | st.binary(min_size=1, max_size=3))
def test_tokens_with_a_start_are_all_found(pair: Pair, start: bytes) -> None:
    ours, _ = pair
    expected = {id for id, spelled in enumerate(ours.token_bytes) if spelled and spelled.startswith(start)}
    found = ours.starting_with(start)
    assert set(found) == expected
    assert len(found) == len(expected)
    assert ours.begins_longer(start) == any(len(ours.token_bytes[id]) > len(start) for id in found)


@given(text=st.sampled_from(DOCUMENTS), data=st.data())
def test_kept_and_partial_are_the_text_and_the_partial_starts_a_longer_token(
    pair: Pair, text: str, data: st.DataObject
) -> None:
    ours, _ = pair
    cursor = data.draw(st.integers(0, len(text)))
    text = text[max(0, cursor - 200) : cursor] + data.draw(insertions)
    ids = ours.encode(text)
    kept, partial = heal(ours, ids)
    assert kept == ids[: len(kept)]
    assert ours.decode_bytes(kept) + partial == ours.decode_bytes(ids)
    assert len(ids) - len(kept) <= 4
    if partial:
        partial.decode()  # whole characters
        assert any(len(ours.token_bytes[id]) > len(partial) for id in ours.starting_with(partial))
    else:
        assert kept == ids


@pytest.mark.parametrize(
    ("text", "goal"),
    [("    retu", "return"), ("import o", " os"), ("self.nam", "name"), ("\n    ", " " * 8), ("x =", " ==")],
)
def test_a_partial_word_can_become_the_word(nano: Tokenizer, text: str, goal: str) -> None:
    kept, partial = heal(nano, nano.encode(text))
    assert goal.encode() in {nano.token_bytes[id] for id in nano.starting_with(partial)}
    assert nano.decode_bytes(kept) + partial == text.encode()


@pytest.mark.parametrize("text", ["", "x = 1\n", "\n\n", "x\r\n", "x\r"])
def test_after_a_newline_nothing_is_taken_back(nano: Tokenizer, text: str) -> None:
    ids = nano.encode(text)
    assert heal(nano, ids) == (ids, b"")


def test_a_newline_that_may_grow_into_a_run_is_taken_back(gemma: Tokenizer) -> None:
    assert heal(gemma, gemma.encode("x = 1\n"))[1] == b"\n"


def test_a_token_spelled_twice_is_not_taken_back_for_its_double(gemma: Tokenizer) -> None:
    assert [gemma.token_bytes[id] for id in gemma.starting_with("漢".encode())] == ["漢".encode()]
    doubled = next(b for b in gemma.token_bytes if gemma.token_bytes.count(b) > 1 and not gemma.begins_longer(b) and b)
    ids = [gemma.token_bytes.index(doubled)]
    assert heal(gemma, ids) == (ids, b"")


# Bad files


@pytest.mark.parametrize(
    "content", [None, b"", b"\xff\xfe", b"not json", b"[]", b'{"version": "1.0", "model": {"type": "Unheard"}}']
)
def test_a_missing_or_garbled_tokenizer_is_an_error_that_names_the_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: wanted a tokenizer\.json, got ") as raised:
        Tokenizer(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_directory_in_place_of_the_tokenizer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        Tokenizer(tmp_path)


def test_a_tokenizer_that_would_cut_texts_short_does_not(saved: Save) -> None:
    inner = byte_level([])
    inner.enable_truncation(4)
    inner.enable_padding(length=8)
    ours, _ = saved(inner)
    assert len(ours.encode("longer than four")) == 16
    assert len(ours.encode("abc")) == 3
