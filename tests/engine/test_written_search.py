"""`midfill.engine.written_search`: texts written by a small random model, and by scripts."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
import torch
from tests.engine.small_model import small_model
from torch import Tensor

from midfill.engine.candidates import Candidate, Vocabulary
from midfill.engine.canvas import DenoiseSettings
from midfill.engine.choosing import SampleSettings, greedy
from midfill.engine.draws import Draws
from midfill.engine.fill_end import End, FillEnd
from midfill.engine.installed import embedded_model
from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.prompt import NanoTemplate, PromptBuilder, PromptLimits
from midfill.engine.recall import RecallSettings
from midfill.engine.seam import seam
from midfill.engine.settings import InfillSettings, WriteSettings
from midfill.engine.speculative import Draft, no_drafts, speculate
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.written_search import Written, WrittenSearch

TOKENIZER = Tokenizer(embedded_model() / "tokenizer.json")
MODEL = small_model(vocab_size=8192, canvas_length=32)
VOCABULARY = Vocabulary(TOKENIZER, MODEL)
LIMITS = PromptLimits(prefix_tokens=48, suffix_tokens=24, quantum_tokens=16)
PROMPTS = PromptBuilder(TOKENIZER, NanoTemplate(), LIMITS, VOCABULARY.end_of_file)
SETTINGS = InfillSettings(
    limits=LIMITS,
    denoise=DenoiseSettings(max_steps=2, mark_pins_from_step=0),
    longest_canvas=32,
    longest_candidate=16,
    num_lengths=4,
    num_finalists=2,
    num_draws=1,
    suffix_head=8,
    scored_suffix=4,
    write=WriteSettings(num_samples=2, sample=SampleSettings(), patience=1e9),
)
PREFIX, SUFFIX = "def total(values):\n    amount = ", "\n    return amount\n"


def search(
    draft: Draft = no_drafts, seed: int = 0, prefix: str = PREFIX, suffix: str = SUFFIX, patience: float = 1e9
) -> WrittenSearch:
    settings = msgspec.structs.replace(SETTINGS, write=msgspec.structs.replace(SETTINGS.write, patience=patience))
    prompt = PROMPTS.build(prefix, suffix, "python")
    slot = KVSlot(MODEL.config, torch.device("cpu"), torch.float32)
    PrefixCache(MODEL, 1 << 30).encode(slot, prompt.tokens)
    draws = Draws(seed, slot.device)
    end = FillEnd(prompt, VOCABULARY, seam(prefix, suffix).end)
    return WrittenSearch(MODEL, slot, prompt, end, VOCABULARY, settings, draws, draft)


def run(one: WrittenSearch, max_tokens: int = 12, num_samples: int = 2) -> tuple[list[str], list[Candidate], int]:
    """The texts so far, and what came of it."""
    texts, running = list[str](), one.run(max_tokens, num_samples)
    while True:
        try:
            texts.append(next(running))
        except StopIteration as end:
            return texts, *end.value


def plain(one: WrittenSearch, count: int) -> list[int]:
    """What the model writes greedily, special tokens but those that end a text left out."""
    banned = VOCABULARY.unwritable & ~VOCABULARY.ending
    first = VOCABULARY.not_starting_with(one.prompt.partial)
    slot = KVSlot(MODEL.config, torch.device("cpu"), torch.float32)
    slot.copy(one.slot, len(one.slot.tokens) - 1)
    PrefixCache(MODEL, 1 << 30).encode(slot, one.prompt.tokens[-1:])
    writing = speculate(MODEL, slot, no_drafts, greedy(banned, first))
    return [next(writing)[0] for _ in range(count)]


def test_without_samples_each_fill_is_a_start_of_what_is_written_greedily():
    one = search()
    _, found, passes = run(one, num_samples=0)
    text = plain(one, 12)
    assert found
    assert all(fill.tokens == text[: len(fill.tokens)] for fill in found)
    assert passes == 12


def test_fills_come_best_first_and_each_once():
    _, found, _ = run(search(), max_tokens=8)
    scores = [fill.score for fill in found]
    assert scores == sorted(scores, reverse=True)
    assert len({tuple(fill.tokens) for fill in found}) == len(found) > 4


def test_samples_add_fills_and_a_seed_reproduces_them():
    first, again, other = (run(search(seed=seed))[1] for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len(first) > len(run(search(), num_samples=0)[1])


def test_fills_are_compared_with_what_is_recalled():
    plain, one = run(search())[1], search()
    likely = plain[-2].tokens
    elsewhere = [[*one.prompt.tokens[-3:], *likely, *one.prompt.suffix[:4]]]
    recalling = one._replace(
        prompt=one.prompt._replace(elsewhere=elsewhere),
        settings=msgspec.structs.replace(one.settings, recall=RecallSettings((0.1, 0.5, 0.9))),
    )
    found = run(recalling)[1]
    assert {tuple(each.tokens) for each in found} == {tuple(each.tokens) for each in plain}
    assert found[0].tokens == likely != plain[0].tokens


@pytest.mark.parametrize("prefix", [PREFIX, "    amou", "héllo 🎉 wörl"])
def test_a_partial_word_before_the_cursor_is_continued(prefix: str):
    one = search(prefix=prefix)
    _, found, _ = run(one)
    assert all(TOKENIZER.decode_bytes(fill.tokens).startswith(one.prompt.partial) for fill in found if fill.tokens)


def ahead(slot: KVSlot, token: int) -> Sequence[int]:
    """Drafts of which some are what the model writes next, as it happens, and others are not."""
    other = KVSlot(MODEL.config, slot.device, slot.dtype)
    other.copy(slot, len(slot.tokens))
    PrefixCache(MODEL, 1 << 30).encode(other, [token])
    writing = speculate(MODEL, other, no_drafts, greedy(VOCABULARY.unwritable & ~VOCABULARY.ending))
    return [next(writing)[0], next(writing)[0], 300 + len(slot.tokens)]


def test_drafts_save_passes_and_change_no_fill():
    _, alone, passes = run(search())
    _, drafted, fewer = run(search(draft=ahead))
    assert fewer < passes
    # Sums of the same numbers in batches of other sizes differ in their last digits.
    assert [fill.tokens for fill in drafted] == [fill.tokens for fill in alone]
    assert [fill.score for fill in drafted] == pytest.approx([fill.score for fill in alone], rel=1e-4)


@pytest.mark.parametrize("steps", [1, 5, 14, 100])
def test_the_slot_is_left_as_it_was_wherever_the_search_is_closed(steps: int):
    one = search(draft=ahead)
    tokens, hidden = list(one.slot.tokens), one.slot.last_hidden
    kv = [(one.slot.keys(index).clone(), one.slot.values(index).clone()) for index in range(len(MODEL.layers))]
    running = one.run(12, 2)
    for _, _ in zip(range(steps), running, strict=False):
        pass
    running.close()
    assert one.slot.tokens == tokens
    assert one.slot.last_hidden is hidden
    for index, (keys, values) in enumerate(kv):
        assert torch.equal(one.slot.keys(index), keys)
        assert torch.equal(one.slot.values(index), values)


def test_the_texts_so_far_are_those_of_the_likeliest_text_to_the_end():
    one = search()
    texts, _, passes = run(one)
    assert len(texts) >= passes
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert texts[-1] == one._text(plain(one, 13))


def test_a_text_that_is_there_already_stays_the_text_so_far():
    running = search().run(4, 1, so_far="what the canvas gave")
    assert set(running) == {"what the canvas gave"}


@pytest.mark.parametrize("max_tokens", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("patience", [1.0, 4.0, 1e9])
def test_fills_are_the_same_with_drafts_and_no_longer_than_asked_for(max_tokens: int, patience: float):
    alone, drafted = (run(search(draft=draft, patience=patience), max_tokens)[1] for draft in (no_drafts, ahead))
    assert [fill.tokens for fill in drafted] == [fill.tokens for fill in alone]
    assert all(len(fill.tokens) <= max_tokens for fill in alone)


def test_what_is_compared_is_compared_in_passes_of_a_bounded_size(monkeypatch: pytest.MonkeyPatch):
    whole = run(search())
    monkeypatch.setattr("midfill.engine.written_search.SCORED_AT_ONCE", 40)
    texts, found, passes = run(search())
    assert len(texts) > len(whole[0])
    assert passes == whole[2]
    assert [fill.tokens for fill in found] == [fill.tokens for fill in whole[1]]


@pytest.mark.parametrize(
    ("prefix", "suffix", "text", "fill"),
    [
        ("x = str(datetime.", ")\n", "now())\n", "now()"),
        ("    if f(", "):\n", "a, b()):\n", "a, b()"),
        ("x = [", "]\n", "a[0]]\n", "a[0]"),
        ("print(os", ")\n", ".getcwd())", ".getcwd()"),  # "os" is healed
        ("x = ", "\n", "1", None),
        ("f(", ")\n", ")", ""),
    ],
)
def test_a_token_that_goes_on_into_the_suffix_is_cut(prefix: str, suffix: str, text: str, fill: str | None):
    one = search(prefix=prefix, suffix=suffix)
    tokens = TOKENIZER.encode(one.prompt.partial.decode() + text)
    ends = (one.end.find(tokens[:length]) for length in range(1, len(tokens) + 1))
    end = next((end for end in ends if end is not None), None)
    if fill is None:
        assert end is None
    else:
        assert end is not None
        assert one._text([*tokens[: end.whole], *end.rest]) == fill


def scripted(text: str, likely: dict[int, float], end: End | None = None, **limits: float) -> Written:
    """A text that was written token by token at log-probability -1 each; the suffix's start is `likely` at places."""
    tokens = TOKENIZER.encode(text)
    suffix_start = TOKENIZER.encode("\n")[0]

    def find_end(tokens: Sequence[int]) -> End | None:
        return end if end is not None and len(tokens) > end.whole else None

    patience, max_tokens = limits.get("patience", 1e9), int(limits.get("max_tokens", 64))
    written = Written(greedy(), suffix_start, find_end, max_tokens, patience)
    for place, token in enumerate(tokens):
        written([], log_probabilities(token, suffix_start, likely.get(place, -9.0)))
    return written


def log_probabilities(token: int, suffix_start: int, chance: float) -> Tensor:
    """[1, V]: of `token` -1, of `suffix_start` `chance`, and the rest for a thousand tokens of no interest."""
    logits = torch.full((1, 8192), -torch.inf)
    logits[0, token], logits[0, suffix_start] = -1.0, chance
    rest = 1 - logits.exp().sum()
    assert rest > 0
    logits[0, 700:1700] = (rest / 1000).log()
    logits[0, token], logits[0, suffix_start] = -1.0, chance
    return logits


def test_a_text_ends_where_the_suffix_is_likeliest_to_follow():
    written = scripted(" a + b + c", {1: -1.5, 3: -1.2})
    assert [len(end) for end in written.fills(2)] == [1, 3]


def test_a_text_is_over_once_no_later_end_can_be_better():
    assert not scripted(" a + b + c", {2: -1.5}, patience=4.0).is_over
    assert scripted(" a + b + c", {1: -1.5}, patience=1.0).is_over
    assert scripted(" a + b + c", {}, max_tokens=4).is_over


def test_no_text_is_over_because_the_suffix_might_have_stood_there_instead():
    assert not scripted(" a + b + c", {0: -1.5}, patience=2.0).is_over


def test_a_text_that_came_to_its_end_goes_no_further_and_that_end_counts():
    written = scripted(" a + b + c", {4: -1.1}, end=End(3, []))
    assert written.is_over
    assert [len(end) for end in written.fills(1)] == [1, 3]
    assert len(written.tokens) == 4
    assert scripted(" a + b", {}, end=End(1, [7, 8])).fills(1)[-1][1:] == [7, 8]
    assert scripted(" a", {}, end=End(0, [])).fills(3) == []
