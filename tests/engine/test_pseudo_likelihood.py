"""`midfill.engine.pseudo_likelihood`: what the canvas mode thinks of fills."""

from collections.abc import Generator

import msgspec
import pytest
import torch
from tests.engine.small_model import small_model
from tests.engine.test_candidates import SETTINGS, TOKENIZER, VOCABULARY
from tests.engine.test_infill import SETTINGS as FILLING

from midfill.engine.candidates import Vocabulary
from midfill.engine.config import FULL, SLIDING
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.draws import Draws
from midfill.engine.infill import Found, Infiller
from midfill.engine.kernel_passes import KernelPasses
from midfill.engine.kv import KVSlot
from midfill.engine.loading import open_infiller
from midfill.engine.passes import denoise
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.pseudo_likelihood import STRIPES, scored_by_canvas, stripes
from midfill.engine.wire import InfillRequest, Mode

MODEL = small_model(vocab_size=8192, canvas_length=32)
FILLS = [[], [400], [401, 402, 403, 404, 405, 406], [407, 408]]
SUFFIX = list(range(500, 520))


def slot_of(model: DiffusionGemma, tokens: list[int]) -> KVSlot:
    cache = PrefixCache(model, 1 << 30)
    slot = cache._new_slot()
    cache.encode(slot, tokens)
    return slot


@pytest.mark.parametrize("suffix", [SUFFIX, SUFFIX[:3]])
def test_each_token_is_noised_on_one_canvas_of_its_fill_and_no_other_is(suffix: list[int]):
    layout = stripes(FILLS, suffix, VOCABULARY, SETTINGS)
    head = len(suffix[: SETTINGS.scored_suffix])
    assert layout.needed is not None
    for number, fill in enumerate(FILLS):
        rows = slice(STRIPES * number, STRIPES * (number + 1))
        judged_places = torch.arange(layout.tokens.shape[1]) < len(fill) + head
        assert torch.equal(layout.hole[rows].sum(dim=0), judged_places.long())
        assert all(
            row[: len(fill) + len(suffix)].tolist() == [*fill, *suffix][: len(row)] for row in layout.tokens[rows]
        )
        assert not bool((layout.hole & ~layout.needed).any())


@pytest.mark.parametrize("first_marked", [0, 1])
def test_a_token_is_asked_for_where_noise_stands_and_the_others_are_told(first_marked: int):
    """By hand for one token: the noise that hides it is the only thing not to be known here."""
    denoising = msgspec.structs.replace(SETTINGS.denoise, mark_pins_from_step=first_marked)
    settings = msgspec.structs.replace(SETTINGS, denoise=denoising)
    slot, fill = slot_of(MODEL, [300, 301, 302]), FILLS[2]
    layout = stripes([fill], SUFFIX, VOCABULARY, settings)
    [candidate] = scored_by_canvas(MODEL, slot, [fill], SUFFIX, VOCABULARY, settings)
    marks = None if first_marked else MODEL.embed(layout.tokens) * ~layout.hole[..., None]
    noise = torch.randint(0, 8192, layout.tokens.shape[-1:], generator=torch.Generator().manual_seed(0))
    hidden = denoise(MODEL, slot, torch.where(layout.hole, noise, layout.tokens), marks, layout.needed)
    found = MODEL.logits(hidden).log_softmax(dim=-1)
    for place, number in enumerate(candidate.fill):
        assert number == pytest.approx(float(found[place % STRIPES, place, fill[place]]), abs=1e-4)
    for place, number in enumerate(candidate.head, start=len(fill)):
        assert number == pytest.approx(float(found[place % STRIPES, place, SUFFIX[place - len(fill)]]), abs=1e-4)


def test_many_fills_are_judged_as_each_alone():
    slot = slot_of(MODEL, [300, 301, 302])
    before = list(slot.tokens)
    together = scored_by_canvas(MODEL, slot, FILLS, SUFFIX, VOCABULARY, SETTINGS)
    assert [one.score for one in together] == sorted((one.score for one in together), reverse=True)
    for one in together:
        [alone] = scored_by_canvas(MODEL, slot, [one.tokens], SUFFIX, VOCABULARY, SETTINGS)
        assert alone.tokens == one.tokens
        assert [*alone.fill, *alone.head] == pytest.approx([*one.fill, *one.head], abs=1e-4)
        assert (len(one.fill), len(one.head)) == (len(one.tokens), SETTINGS.scored_suffix)
    assert slot.tokens == before


@pytest.mark.gpu
def test_on_kernels_fills_are_judged_as_by_the_definition():
    """With a suffix to the end of the canvas: kernels see all of that, and padding too."""
    plain, fast = (small_model(8192, head_dim=16, kinds=(SLIDING, FULL), window=5).to("cuda") for _ in range(2))
    fast.kernels = KernelPasses(fast)
    fills = [list(range(400 + first, 408 + first)) for first in (0, 20)]
    vocabulary = Vocabulary(TOKENIZER, plain)
    found, wanted = (
        scored_by_canvas(each, slot_of(each, [300, 301, 302]), fills, SUFFIX[:8], vocabulary, SETTINGS)
        for each in (fast, plain)
    )
    for one, other in zip(found, wanted, strict=True):
        assert one.tokens == other.tokens
        assert [*one.fill, *one.head] == pytest.approx([*other.fill, *other.head], abs=1e-3)


def test_a_fill_of_more_than_a_canvas_is_judged_whole():
    long = [400 + index for index in range(SETTINGS.longest_canvas + 5)]
    [candidate] = scored_by_canvas(MODEL, slot_of(MODEL, [300]), [long], SUFFIX, VOCABULARY, SETTINGS)
    assert len(candidate.fill) == len(long)
    assert len(candidate.head) == SETTINGS.scored_suffix


PLAIN = [
    ("def add(a, b):\n    return ", "a + b", "\n\n\ndef sub(a, b):\n    return a - b\n"),
    ("import os\nimport sys\n\nprint(os.path.join(", "sys.argv[1], ", '"name.txt"))\n'),
    ("for index in ", "range(10)", ":\n    print(index)\n"),
    ("class Point:\n    def __init__(self, x, y):\n        self.x = ", "x\n", "        self.y = y\n"),
]


@pytest.fixture(scope="module")
def embedded() -> Infiller:
    return open_infiller()


@pytest.mark.parametrize(("prefix", "middle", "suffix"), PLAIN)
def test_a_token_replaced_by_any_makes_a_fill_less_likely(embedded: Infiller, prefix: str, middle: str, suffix: str):
    model, vocabulary, random = embedded.model, embedded.vocabulary, torch.Generator().manual_seed(0)
    assert isinstance(model, DiffusionGemma)
    prompt = embedded.prompts.build(prefix, suffix, "python")
    slot = slot_of(model, prompt.tokens)
    right = TOKENIZER.encode(prompt.partial.decode() + middle)
    wrong = [list(right) for _ in right]
    for place, fill in enumerate(wrong):
        fill[place] = int(torch.randint(300, 8000, (1,), generator=random))
    settings = msgspec.structs.replace(embedded.settings, suffix_head=8)  # drafts get by with fewer
    found = scored_by_canvas(model, slot, [right, *wrong], prompt.suffix, vocabulary, settings)
    assert found[0].tokens == right


@pytest.mark.parametrize("mode", ["fast", "best"])
def test_all_fills_that_are_compared_are_judged_by_the_mode_that_judges(mode: Mode):
    settings = msgspec.structs.replace(FILLING, scored_by="canvas")
    filling = Infiller(MODEL, TOKENIZER, settings)
    asked = InfillRequest(document="a", prefix="a = ", suffix="\nb", language="python", max_tokens=16, mode=mode)
    prompt = filling.prompts.build(asked.prefix, asked.suffix, asked.language)
    slot = slot_of(MODEL, prompt.tokens)
    fills = ended(filling.search(slot, prompt, asked, Draws(0, slot.device), filling.reading(slot, prompt))).fills
    wanted = scored_by_canvas(MODEL, slot, [one.tokens for one in fills], prompt.suffix, filling.vocabulary, settings)
    assert [one.score for one in fills] == pytest.approx([one.score for one in wanted], abs=1e-3)


def ended(searching: Generator[str, None, Found]) -> Found:
    try:
        while True:
            next(searching)
    except StopIteration as end:
        return end.value
