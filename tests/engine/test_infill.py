"""`midfill.engine.infill`: whole fills, with the embedded model's vocabulary and small random weights."""

import gc
import subprocess
import sys
import weakref
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec
import pytest
import torch
from tests.engine.small_model import small_model

from midfill.engine.best_first import SearchSettings
from midfill.engine.candidates import scored
from midfill.engine.canvas import DenoiseSettings
from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.choosing import SampleSettings
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.errors import InputError, MemoryFull
from midfill.engine.infill import Infiller
from midfill.engine.installed import embedded_model
from midfill.engine.loading import open_infiller
from midfill.engine.prompt import PromptLimits
from midfill.engine.settings import InfillSettings, WriteSettings
from midfill.engine.steps import LEAST_STEPS, StepTimes
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.wire import Infill, InfillRequest, Mode

TOKENIZER = Tokenizer(embedded_model() / "tokenizer.json")
MODEL = small_model(vocab_size=8192, canvas_length=32)
SETTINGS = InfillSettings(
    limits=PromptLimits(prefix_tokens=48, suffix_tokens=24, quantum_tokens=16),
    denoise=DenoiseSettings(max_steps=3, mark_pins_from_step=0),
    longest_canvas=32,
    longest_candidate=16,
    num_lengths=6,
    num_finalists=2,
    num_draws=2,
    suffix_head=8,
    scored_suffix=8,
    search=SearchSettings(width=4, longest=5, kept=2, most=24),
    write=WriteSettings(num_samples=1, sample=SampleSettings()),
)
CANVAS_ONLY = msgspec.structs.replace(SETTINGS, search=None)
SOURCE = Path(__file__).read_text(encoding="utf-8")


def infiller() -> Infiller:
    return Infiller(MODEL, TOKENIZER, SETTINGS)


def request(prefix: str, suffix: str, max_tokens: int = 16, seed: int = 0, document: str = "a") -> InfillRequest:
    return InfillRequest(
        document=document, prefix=prefix, suffix=suffix, language="python", max_tokens=max_tokens, seed=seed
    )


def finish(filling: Generator[str, None, Infill]) -> tuple[list[str], Infill]:
    """The texts so far, and the answer."""
    texts: list[str] = []
    while True:
        try:
            texts.append(next(filling))
        except StopIteration as end:
            return texts, end.value


def without_times(answer: Infill) -> tuple[object, ...]:
    return answer.text, answer.shown, answer.confidence, answer.steps, answer.prompt_tokens


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [
        ("", ""),
        ("def f(", ""),
        ("", "\nreturn 1"),
        ("x = 1\n", "y = 2\n"),
        ("héllo 🎉 wörl", "d"),
        ("\r\n\t", "\r\n"),
        ("\x00\u2028", "\ud7ff"),
        (SOURCE, SOURCE),
    ],
)
def test_any_text_around_the_cursor_is_filled(prefix: str, suffix: str):
    answer = infiller().complete(request(prefix, suffix))
    assert 0 <= answer.confidence <= 1
    assert answer.steps >= 2
    assert len(TOKENIZER.encode(answer.text)) <= 3 * 16  # tokens split again where they were not canonical
    answer.text.encode("utf-8")


def test_others_are_other_texts_the_surest_first_and_as_many_as_asked_for():
    eager = msgspec.structs.replace(SETTINGS, min_confidence=0.0)
    asked = msgspec.structs.replace(request("def total(values):\n    return ", "\n"), num_candidates=3)
    answer = Infiller(MODEL, TOKENIZER, eager).complete(asked)
    texts = [answer.text, *(other.text for other in answer.others)]
    assert len(texts) == 3
    assert len({text.rstrip() for text in texts}) == 3
    assert all(0 <= other.confidence <= 1 for other in answer.others)


def test_others_are_given_only_where_they_are_asked_for_and_sure_enough():
    asked = request("def total(values):\n    return ", "\n")
    assert infiller().complete(asked).others == ()
    unsure = msgspec.structs.replace(SETTINGS, min_confidence=1.0)
    asked = msgspec.structs.replace(asked, num_candidates=3)
    assert Infiller(MODEL, TOKENIZER, unsure).complete(asked).others == ()


def test_fast_mode_denoises_as_long_as_there_is_time_and_best_mode_to_the_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(MODEL, "step_times", StepTimes([1], [1.0]))
    unsure = DenoiseSettings(max_steps=8, mark_pins_from_step=0, confidence_threshold=-1.0)
    steps: dict[tuple[Mode, float | None], int] = {}
    modes: tuple[Mode, ...] = ("fast", "best")
    for mode in modes:
        for latency_ms in (None, 1.0):
            settings = msgspec.structs.replace(CANVAS_ONLY, denoise=unsure, latency_ms=latency_ms)
            asked = msgspec.structs.replace(request("x = ", "\n", max_tokens=4), mode=mode)
            steps[mode, latency_ms] = Infiller(MODEL, TOKENIZER, settings).complete(asked).steps
    assert (steps["fast", None], steps["fast", 1.0]) == (1 + 8, 1 + LEAST_STEPS)
    assert steps["best", 1.0] == steps["best", None] > 1 + 8


@pytest.mark.parametrize("mode", ["fast", "best"])
def test_a_fill_ends_with_its_scope(mode: Mode):
    """The embedded model writes more lines of a list that it has seen one of."""
    embedded = open_infiller()
    asked = msgspec.structs.replace(request("values = [\n    1,\n", "]\n"), mode=mode, num_candidates=4)
    breaks = {}
    for scope in ("line", "block"):
        fill = embedded.complete(msgspec.structs.replace(asked, scope=scope))
        breaks[scope] = max(text.rstrip().count("\n") for text in (fill.text, *(each.text for each in fill.others)))
    assert breaks["line"] == 0 < breaks["block"]


def test_a_partial_word_before_the_cursor_is_continued_not_repeated():
    filling = infiller()
    prompt = filling.prompts.build("    retu", "\n", "python")
    assert prompt.partial.endswith(b"retu")
    slot = filling.cache._new_slot()
    filling.cache.encode(slot, prompt.tokens)
    answer = filling.complete(request("    retu", "\n"))
    first = TOKENIZER.starting_with(prompt.partial)
    assert any((prompt.partial.decode() + answer.text).startswith(TOKENIZER.decode([id])) for id in first)


def test_one_forward_pass_a_next_and_a_text_so_far_after_each():
    texts, answer = finish(Infiller(MODEL, TOKENIZER, CANVAS_ONLY).fill(request("a = ", "\nb", max_tokens=16)))
    assert len(texts) == 2 + answer.steps  # the prompt fits one chunk; the drafts are scored, too
    assert all(isinstance(text, str) for text in texts)


def test_the_search_takes_its_passes_in_place_of_the_denoise_steps(monkeypatch: pytest.MonkeyPatch):
    steps: list[int] = []
    denoise = MODEL.denoise
    monkeypatch.setattr(MODEL, "denoise", lambda *inputs: (steps.append(1), denoise(*inputs))[1])
    texts, answer = finish(infiller().fill(request("a = ", "\nb", max_tokens=16)))
    assert len(texts) == 1 + answer.steps
    assert len(steps) == 1
    assert answer.steps >= 2


def test_the_search_finds_fills_that_the_causal_mode_likes_better():
    asked = request("a = ", "\nb", max_tokens=16)
    by_canvas, by_both = (Infiller(MODEL, TOKENIZER, each).complete(asked) for each in (CANVAS_ONLY, SETTINGS))
    on_canvas, on_both = (score(asked, answer) for answer in (by_canvas, by_both))
    assert on_both > on_canvas


def score(asked: InfillRequest, answer: Infill) -> float:
    """Log-probability of a fill and the suffix behind it, from an empty cache."""
    engine = infiller()
    prompt = engine.prompts.build(asked.prefix, asked.suffix, asked.language)
    slot = engine.cache._new_slot()
    engine.cache.encode(slot, prompt.tokens)
    fill = TOKENIZER.encode(prompt.partial.decode() + answer.text)
    return scored(MODEL, slot, [fill], prompt.suffix[: SETTINGS.scored_suffix])[0].score


@pytest.mark.parametrize(("max_tokens", "mode"), [(16, "fast"), (80, "fast"), (16, "best"), (80, "best")])
def test_no_next_makes_two_forward_passes(max_tokens: int, mode: Mode, monkeypatch: pytest.MonkeyPatch):
    passes: list[str] = []
    for name in ("encode", "denoise"):
        run = getattr(MODEL, name)
        monkeypatch.setattr(MODEL, name, lambda *inputs, name=name, run=run: (passes.append(name), run(*inputs))[1])
    engine = infiller()
    engine.cache.chunk_tokens = 20
    asked = msgspec.structs.replace(request(SOURCE[:300], SOURCE[340:], max_tokens), mode=mode)
    filling, after_each = engine.fill(asked), [0]
    for _ in filling:
        after_each.append(len(passes))
    assert after_each == list(range(len(after_each)))
    assert len(passes) <= len(after_each)  # the choice is the last
    assert passes.count("encode") > 2


def test_a_seed_reproduces_a_fill():
    prefix, suffix = SOURCE[:400], SOURCE[420:]
    once, again = (infiller().complete(request(prefix, suffix, seed=3)) for _ in range(2))
    assert without_times(once) == without_times(again)


def test_a_warm_document_gives_what_a_cold_one_gives():
    warm = infiller()
    for cut in (300, 310, 305, 700, 310):
        asked = request(SOURCE[:cut], SOURCE[cut + 20 :])
        assert without_times(warm.complete(asked)) == without_times(infiller().complete(asked))


def test_typing_on_reuses_the_prompt():
    warm = infiller()
    warm.complete(request(FAR[:150], FAR[190:]))
    answer = warm.complete(request(FAR[:155], FAR[190:]))
    assert answer.cached_tokens >= answer.prompt_tokens - 5


@pytest.mark.parametrize(("max_tokens", "mode"), [(16, "fast"), (80, "fast"), (16, "best")])
def test_closing_a_fill_between_any_two_passes_frees_it_and_keeps_the_cache_right(max_tokens: int, mode: Mode):
    asked = msgspec.structs.replace(request(SOURCE[:300], SOURCE[340:], max_tokens), mode=mode)
    passes = len(finish(infiller().fill(asked))[0])
    for done in range(passes + 1):
        engine = infiller()
        filling = engine.fill(asked)
        for _ in range(done):
            next(filling)
        filling.close()
        engine.cache.forget("a")  # asserts that the slot is not in use any more
        assert engine.cache.num_bytes == 0
        engine = infiller()
        filling = engine.fill(asked)
        for _ in range(done):
            next(filling)
        filling.close()
        assert without_times(engine.complete(asked)) == without_times(infiller().complete(asked))


def test_a_fill_longer_than_a_canvas_goes_canvas_after_canvas():
    engine = infiller()
    texts, answer = finish(engine.fill(request(SOURCE[:300], SOURCE[340:], max_tokens=80)))
    written = [text for text in texts if text]
    assert len(TOKENIZER.encode(answer.text)) > SETTINGS.longest_canvas
    assert answer.text == written[-1]
    [slot] = engine.cache.slots("a")
    assert len(slot.tokens) == answer.prompt_tokens


def test_a_committed_canvas_joins_the_prompt_of_the_next():
    engine = infiller()
    asked = request(SOURCE[:300], SOURCE[340:], max_tokens=80)
    prompt = engine.prompts.build(asked.prefix, asked.suffix, "python")
    seen: list[list[int]] = []
    encode = engine.cache.encode

    def recording(slot, tokens):
        encode(slot, tokens)
        seen.append(list(slot.tokens))

    engine.cache.encode = recording
    engine.complete(asked)
    committed = seen[1]
    assert committed[: len(prompt.tokens)] == prompt.tokens
    assert len(committed) == len(prompt.tokens) + SETTINGS.longest_canvas


def test_a_fill_longer_than_the_models_positions_is_refused():
    with pytest.raises(InputError, match="max_tokens: wanted at most"):
        infiller().complete(request("x = ", "\n", max_tokens=MODEL.config.max_position_embeddings))


def test_best_mode_finds_fills_that_the_causal_mode_likes_at_least_as_well():
    engine, asked = infiller(), request("a = ", "\nb", max_tokens=16)
    fast, best = (engine.complete(msgspec.structs.replace(asked, mode=mode)) for mode in ("fast", "best"))
    on_fast, on_best = (score(asked, answer) for answer in (fast, best))
    assert on_best >= on_fast
    assert best.steps > fast.steps
    assert best.cached_tokens == best.prompt_tokens  # both modes read the same cache


def test_a_long_fill_in_best_mode_is_written_alone(monkeypatch: pytest.MonkeyPatch):
    asked = msgspec.structs.replace(request(SOURCE[:300], SOURCE[340:], max_tokens=80), mode="best")
    monkeypatch.delattr(DiffusionGemma, "denoise")
    _, answer = finish(infiller().fill(asked))
    assert answer.steps > 0


def test_it_works_after_a_failure_that_is_not_the_devices():
    engine = infiller()
    with pytest.raises(InputError):
        engine.complete(request("x = ", "\n", max_tokens=10_000))
    assert engine.works()


LOSES_THE_CARD = """
import torch
from tests.engine.test_infill import SETTINGS, TOKENIZER, small_model
from midfill.engine.infill import Infiller
engine = Infiller(small_model(vocab_size=8192, canvas_length=32).cuda(), TOKENIZER, SETTINGS)
assert engine.works()
try:
    torch.zeros(1, device="cuda")[torch.tensor([5], device="cuda")].item()
except RuntimeError:
    assert not engine.works()
    print("lost")
"""


@pytest.mark.gpu
def test_a_card_that_was_lost_is_noticed():
    result = subprocess.run([sys.executable, "-c", LOSES_THE_CARD], capture_output=True, text=True, check=False)
    assert result.stdout == "lost\n"


def test_it_tells_what_it_holds_and_forgets_it():
    engine = infiller()
    engine.complete(request("x = ", "\n", document="a"))
    engine.complete(request("y = ", "\n", document="b"))
    assert (engine.documents, engine.device, engine.dtype) == (2, "cpu", "float32")
    one_of_two = engine.kv_bytes
    engine.forget("a")
    engine.forget("never seen")
    assert engine.documents == 1
    assert 0 < engine.kv_bytes < one_of_two


def test_a_fill_for_which_memory_is_too_small_says_so_and_others_go_on(monkeypatch: pytest.MonkeyPatch):
    engine = infiller()
    asked = request(SOURCE[:300], SOURCE[340:], max_tokens=80)
    with monkeypatch.context() as patch:
        patch.setattr(MODEL, "denoise", _out_of_memory)
        with pytest.raises(MemoryFull, match=r"memory is full \(.* GB are free now\): ask for fewer tokens"):
            engine.complete(asked)
    assert engine.documents == 0
    assert without_times(engine.complete(asked)) == without_times(infiller().complete(asked))


FAR = """
class Registry:
    def lookup(self, key):
        if key not in self._entries:
            raise UnknownPluginError(f"no plugin named {key!r}")
        return self._entries[key]

    def drop(self, key):
        if key not in self._entries:
            raise UnknownPluginError(f"no plugin named {key!r}")
        del self._entries[key]

"""
NEAR = """
class Second(Registry):
    def replace(self, key, entry):
        if key not in self._entries:
            raise """


@pytest.mark.parametrize("mode", ["fast", "best"])
def test_what_the_rest_of_the_file_says_is_recalled(mode: Mode):
    """The embedded model's prompt does not reach so far."""
    embedded = open_infiller()
    prefix, suffix = FAR + SOURCE[:6000] + NEAR, "\n        self._entries[key] = entry\n"
    asked = msgspec.structs.replace(request(prefix, suffix, max_tokens=24), mode=mode)
    assert embedded.complete(asked).text.rstrip() == 'UnknownPluginError(f"no plugin named {key!r}")'
    embedded.settings = msgspec.structs.replace(embedded.settings, recall=None)
    assert "Unknown" not in embedded.complete(asked).text


@pytest.mark.parametrize("mode", ["fast", "best"])
def test_what_the_rest_of_a_json_document_says_is_recalled(mode: Mode):
    entries = "".join(
        f'  {{"name": "package-{i}", "maintainer": "Ada Quimby <quimby@example.org>", "size": {i * 37}}},\n'
        for i in range(30)
    )
    others = "".join(f'  {{"id": {i}, "colour": "#{i * 7919:06x}", "tags": ["alpha", "beta"]}},\n' for i in range(40))
    prefix, suffix = f'[\n{entries}{others}  {{"name": "package-last", "maintainer": "', '", "size": 3}\n]\n'
    embedded = open_infiller()
    asked = InfillRequest(document="a", prefix=prefix, suffix=suffix, language="json", mode=mode)
    answer = embedded.complete(asked)
    assert answer.text == "Ada Quimby <quimby@example.org>"
    assert answer.valid
    embedded.settings = msgspec.structs.replace(embedded.settings, recall=None)
    assert "Quimby" not in embedded.complete(asked).text


@pytest.mark.gpu
def test_a_full_card_says_so_and_works_again_once_there_is_room():
    engine = open_infiller()
    asked = request(SOURCE[:300], SOURCE[340:])
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        with pytest.raises(MemoryFull):
            engine.complete(asked)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert engine.works()
    assert engine.complete(asked).steps > 0


def _out_of_memory(*_: object) -> None:
    raise MemoryError


def test_a_fill_adds_more_than_white_space_where_any_candidate_does():
    for prefix in ("x = retu", "x =    ", "def f():\n    ", "a.b"):
        for seed in range(4):
            assert infiller().complete(request(prefix, "\n", seed=seed)).text.strip()


def test_a_sure_fill_is_shown():
    sure = msgspec.structs.replace(SETTINGS, min_confidence=0.0)
    assert Infiller(MODEL, TOKENIZER, sure).complete(request("x = ", "\n")).shown


def test_an_unlikely_fill_is_not_shown():
    assert not infiller().complete(request("x = ", "\n")).shown


@pytest.mark.parametrize("max_tokens", [1, 23, 24, 25, 32, 33, 40, 48, 56, 57, 64])
def test_a_fill_of_any_length_ends_within_it(max_tokens: int) -> None:
    answer = infiller().complete(request(SOURCE[:300], SOURCE[340:], max_tokens))
    assert len(TOKENIZER.encode(answer.text)) <= 4 * max_tokens  # what is written may be tokenized otherwise
    assert answer.steps >= 1


def test_a_fill_between_whole_lines_ends_its_line():
    answer = infiller().complete(request("x = 1\n", "    y = 2\n"))
    assert answer.text.endswith("\n")


TYPED = """    def median(self):
        ordered = sorted(self.values)
        middle = len(ordered) // 2
"""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens that each pass computes from now on, of whatever model."""
    found, run = list[int](), CausalGemma._run

    def counted(model: CausalGemma, x: torch.Tensor, *others: object) -> torch.Tensor:
        found.append(x.shape[0] * x.shape[1])
        return run(model, x, *others)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(CausalGemma, "_run", counted)
    return found


def anew(engine: Infiller) -> Infiller:
    """The engine, which takes nothing over from its last fill: that had other settings."""
    engine.settings = msgspec.structs.replace(engine.settings)
    return engine


def test_with_each_key_comes_what_a_fresh_engine_gives_and_most_was_read_for_the_last(reads: list[int]):
    before = FAR + SOURCE[:4000] + "\n\nclass Sample:\n"
    keys = [request(before + TYPED[:end], "\n        return middle\n") for end in range(20, len(TYPED))]
    warm, cold = open_infiller(), open_infiller()
    warm.complete(keys[0])
    cold.complete(keys[0])
    reads.clear()
    answers = [warm.complete(key) for key in keys[1:]]
    warmly = sum(reads)
    reads.clear()
    for key in keys[1:]:
        anew(cold).complete(key)
    assert warmly < sum(reads) / 2
    for key, answer in zip(keys[1::8], answers[::8], strict=True):
        assert without_times(answer) == without_times(open_infiller().complete(key))


@pytest.mark.parametrize(
    "between",
    [
        lambda engine, key: engine.complete(msgspec.structs.replace(key, document="other")),
        lambda engine, key: engine.complete(msgspec.structs.replace(key, mode="best")),
        lambda engine, key: engine.complete(msgspec.structs.replace(key, seed=7)),
        lambda engine, key: engine.complete(msgspec.structs.replace(key, max_tokens=60)),
        lambda engine, key: engine.complete(msgspec.structs.replace(key, prefix=key.prefix + "x = 1\n")),
        lambda engine, key: engine.complete(msgspec.structs.replace(key, num_candidates=3)),
        lambda engine, key: engine.forget(key.document),
        lambda engine, key: engine.cache.drop_idle(),
    ],
    ids=[
        "other document",
        "best mode",
        "other seed",
        "several canvases",
        "typed on",
        "more asked",
        "closed",
        "dropped",
    ],
)
def test_a_fill_is_the_same_whatever_came_between(between: Callable[[Infiller, InfillRequest], object]):
    key = request("def total(values):\n    return su", "\n")
    fresh, engine = without_times(infiller().complete(key)), infiller()
    engine.complete(key)
    between(engine, key)
    assert without_times(engine.complete(key)) == fresh


def test_what_a_stopped_fill_has_read_is_there_for_the_next(reads: list[int]):
    engine, key = open_infiller(), request("def total(values):\n    return su", "\n")
    engine.complete(msgspec.structs.replace(key, document="other"))
    whole = sum(reads)
    stopped = engine.fill(key)
    for _ in range(4):
        next(stopped)
    stopped.close()
    reads.clear()
    again = engine.complete(key)
    assert 0 < sum(reads) < whole / 2
    assert without_times(again) == without_times(open_infiller().complete(key))


@pytest.mark.parametrize("typed", ['"auth', '"author": {"na', '"author": {"name": "A'])
def test_a_json_fill_that_was_typed_on_is_what_a_fresh_engine_gives(typed: str, reads: list[int]):
    def asked(text: str) -> InfillRequest:
        prefix, suffix = '{\n  "name": "a",\n  "version": "1.0.0",\n  ', "\n}\n"
        return msgspec.structs.replace(request(prefix + text, suffix), language="json")

    warm, cold = open_infiller(), open_infiller()
    for engine in (warm, cold):
        engine.complete(asked(typed[:-1]))
    reads.clear()
    answer = warm.complete(asked(typed))
    warmly = sum(reads)
    reads.clear()
    assert without_times(answer) == without_times(anew(cold).complete(asked(typed)))
    assert warmly < sum(reads)


@pytest.mark.parametrize("mode", ["fast", "best"])
def test_a_slot_that_is_dropped_is_freed_at_once(mode: Mode):
    engine = open_infiller()
    key = msgspec.structs.replace(request("def total(values):\n    return su", "\n"), mode=mode)
    gc.collect()
    gc.disable()
    try:
        for drop in (lambda: engine.forget("a"), engine.cache.drop_idle):
            engine.complete(key)
            (slot,) = map(weakref.ref, engine.cache.slots("a"))
            drop()
            engine.complete(msgspec.structs.replace(key, document="other"))
            assert slot() is None
    finally:
        gc.enable()


def test_what_is_over_budget_is_not_kept_for_the_next_fill():
    engine = Infiller(MODEL, TOKENIZER, SETTINGS, kv_bytes=0)
    engine.complete(request("def total(values):\n    return su", "\n"))
    assert engine._last_read is None


def test_of_trees_that_are_done_with_nothing_lies_in_the_way():
    engine = Infiller(MODEL, TOKENIZER, CANVAS_ONLY)
    engine.complete(request("def total(values):\n    return su", "\n"))
    assert [slot.claimed for slot in engine.cache.slots("a")] == [0]
