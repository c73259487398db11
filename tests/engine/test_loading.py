"""`midfill.engine.loading`, and the embedded model on a card: the same predictions as on the CPU, and whole fills."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from tests.engine.test_infill import finish

from midfill.engine.checkpoint import load
from midfill.engine.cpu_layers import CPULayer
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.errors import CheckpointError, InputError, ModeMissing
from midfill.engine.gemma4 import DecoderLayer
from midfill.engine.gemma4_checkpoint import LoadedGemma4
from midfill.engine.graphs import GraphPool
from midfill.engine.infill import Infiller
from midfill.engine.installed import drafter_of, embedded_model
from midfill.engine.kernel_passes import KernelPasses
from midfill.engine.loading import open_infiller, open_models
from midfill.engine.model_pair import ModelPair
from midfill.engine.passes import denoise
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.speculative import no_drafts
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.wire import Infill, InfillRequest, Schema
from midfill.kernels.selection import CHOICES, VARIABLE, uses_kernels

TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.5}
"""Absolute, on logits of up to 30: other kernels add up in other orders; bfloat16 keeps three digits."""


def canvas_logits(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Logits [C, V] of one denoise step over a prompt that was prefilled in two chunks."""
    checkpoint = load(embedded_model(), device, dtype)
    model = checkpoint.model
    if uses_kernels(device):
        model.kernels = KernelPasses(model, GraphPool() if device.type == "cuda" else None)
    cache = PrefixCache(model, 1 << 30, chunk_tokens=40)
    slot = cache._new_slot()
    prompt = Tokenizer(checkpoint.tokenizer_path).encode("def median(values):\n    ordered = sorted(values)\n" * 4)
    cache.encode(slot, prompt[:40])
    cache.encode(slot, prompt[40:])
    canvas = torch.arange(100, 132, device=device)[None]
    with torch.inference_mode():
        return model.logits(denoise(model, slot, canvas, None))[0].cpu()


def test_the_embedded_model_is_the_default_and_its_progress_is_told():
    shares: list[float] = []
    infiller = open_infiller(on_share=shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] == 1
    assert infiller.model.config.vocab_size == 8192
    assert isinstance(infiller.model, DiffusionGemma)
    assert infiller.settings.longest_canvas == infiller.model.config.canvas_length


@pytest.mark.skipif(torch.cuda.is_available(), reason="about the CPU")
@pytest.mark.parametrize(("forced", "kind"), [("", CPULayer), ("reference", DecoderLayer)])
def test_layers_are_laid_out_for_the_cpu_unless_definitions_are_forced(
    forced: str, kind: type, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(VARIABLE, forced)
    assert all(isinstance(layer, kind) for layer in open_infiller().model.layers)


def test_an_unknown_choice_of_kernels_is_refused_before_anything_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(InputError, match="MIDFILL_KERNELS: wanted reference or triton, got fast"):
        open_infiller(Path("/nowhere"))


ASKED = InfillRequest(document="a", prefix="the rest ", suffix=" ends\n", max_tokens=8)
IN_BEST = msgspec.structs.replace(ASKED, mode="best")


@pytest.mark.parametrize("variant", ["E2B", "12B", "26B-A4B"])
def test_an_autoregressive_model_writes_in_both_modes(variant: str, tiny_gemma4: Callable[[str], Path]):
    infiller = open_infiller(tiny_gemma4(variant))
    fast, best = infiller.complete(ASKED), infiller.complete(IN_BEST)
    assert 1 <= fast.steps < best.steps
    assert best.cached_tokens == best.prompt_tokens > 0


@pytest.mark.parametrize("variant", ["E2B", "31B"])
def test_an_autoregressive_model_is_held_to_a_schema(variant: str, tiny_gemma4: Callable[[str], Path]):
    schema = Schema(text='{"required": ["name", "size"], "properties": {"size": {"enum": [12, 345]}}}')
    asked = InfillRequest(
        document="a", prefix='{"si', suffix=', "name": "x"}\n', language="json", max_tokens=12, schema=schema
    )
    answer = open_infiller(tiny_gemma4(variant)).complete(asked)
    assert answer.valid
    assert answer.shown
    assert json.loads(asked.prefix + answer.text + asked.suffix)["size"] in (12, 345)


@pytest.mark.parametrize("place", ["gemma/drafter", "gemma-assistant"])
def test_a_drafter_is_found_in_its_models_directory_and_beside_it(
    place: str, tiny_gemma4: Callable[[str], Path], tiny_drafter: Callable[[str], Path], tmp_path: Path
):
    directory = shutil.copytree(tiny_gemma4("E2B"), tmp_path / "gemma")
    alone = open_infiller(directory)
    shutil.copytree(tiny_drafter("E2B"), tmp_path / place)
    drafted = open_infiller(directory)
    assert alone.draft is no_drafts
    assert drafted.draft is not no_drafts
    assert drafted.complete(IN_BEST).text == alone.complete(IN_BEST).text


def test_another_models_drafter_is_left_alone_and_said(
    tiny_gemma4: Callable[[str], Path],
    tiny_drafter: Callable[[str], Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    directory = shutil.copytree(tiny_gemma4("31B"), tmp_path / "gemma")
    shutil.copytree(tiny_drafter("E2B"), directory / "drafter")
    assert open_infiller(directory).draft is no_drafts
    assert "no drafts" in caplog.text


def test_a_second_model_serves_best_mode_alone(tiny_gemma4: Callable[[str], Path]):
    shares: list[float] = []
    models = open_models(embedded_model(), tiny_gemma4("E2B"), shares.append)
    assert isinstance(models, ModelPair)
    assert models.best_model == tiny_gemma4("E2B").name
    assert shares == sorted(shares)
    assert shares[-1] == 1
    fast, best = answer(models, ASKED), answer(models, IN_BEST)
    assert fast.text == open_infiller().complete(ASKED).text
    assert best.text == open_infiller(tiny_gemma4("E2B")).complete(IN_BEST).text != fast.text
    assert fast.cached_tokens == best.cached_tokens == 0  # each has a cache of its own
    assert models.documents == 1
    assert models.kv_bytes == models.fast.kv_bytes + models.best.kv_bytes > models.fast.kv_bytes > 0  # type: ignore[union-attr]
    models.forget("a")
    assert models.documents == models.kv_bytes == 0


def test_one_model_serves_alone_where_no_other_is_named():
    assert isinstance(open_models(embedded_model(), None), Infiller)


def test_steps_are_measured_for_those_who_type_alone(tiny_checkpoint: Callable[[str], Path]):
    directory = tiny_checkpoint("released")
    typing, once = open_models(directory, None), open_infiller(directory)
    assert isinstance(typing, Infiller)
    assert isinstance(typing.model, DiffusionGemma)
    assert typing.model.step_times is not None
    assert isinstance(once.model, DiffusionGemma)
    assert once.model.step_times is None


def test_a_model_that_does_not_fit_leaves_best_mode_to_the_other(
    tiny_gemma4: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("midfill.engine.loading.free_bytes", lambda device: 1000)
    models = open_models(embedded_model(), tiny_gemma4("E2B"))
    assert isinstance(models, ModelPair)
    assert models.best is models.fast
    assert re.fullmatch(r"\S+ needs 0\.0 GB, 0\.0 GB are free; nano does it", models.best_problem)
    assert models.best_model == ""
    assert answer(models, IN_BEST).steps > answer(models, ASKED).steps


def test_a_model_that_memory_ends_in_is_one_that_does_not_fit(
    tiny_gemma4: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    def ends(*_: object) -> LoadedGemma4:
        raise torch.OutOfMemoryError("tried to allocate 20 GiB")

    monkeypatch.setattr("midfill.engine.loading.load_gemma4", ends)
    models = open_models(embedded_model(), tiny_gemma4("E2B"))
    assert isinstance(models, ModelPair)
    assert models.best is models.fast
    assert "did not fit: tried to allocate 20 GiB" in models.best_problem


def test_memory_that_ends_in_the_only_model_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    def ends(*_: object) -> None:
        raise torch.OutOfMemoryError("tried to allocate 20 GiB")

    monkeypatch.setattr("midfill.engine.loading.load", ends)
    with pytest.raises(CheckpointError, match=r"smaller model.*tried to allocate 20 GiB"):
        open_models(embedded_model(), None)


def test_the_same_model_for_both_modes_is_loaded_once(tmp_path: Path):
    link = tmp_path / "nano"
    link.symlink_to(embedded_model())
    assert isinstance(open_models(embedded_model(), link), Infiller)


def test_a_model_may_be_the_folder_that_one_is_in(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(embedded_model())
    assert open_infiller(Path()).draft is not no_drafts
    assert drafter_of(Path("drafter/..")) == embedded_model() / "drafter"


def test_a_model_that_is_not_there_is_named_to_those_who_ask_for_it(tmp_path: Path):
    models = open_models(embedded_model(), tmp_path / "gone")
    assert isinstance(models, ModelPair)
    assert str(tmp_path / "gone") in models.best_problem
    assert answer(models, ASKED).steps > 0
    with pytest.raises(ModeMissing, match=r"best quality is not available; \S+gone.*; midfill models says"):
        answer(models, IN_BEST)


def answer(models: ModelPair, request: InfillRequest) -> Infill:
    return finish(models.fill(request))[1]


@pytest.mark.gpu
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_card_predicts_what_the_cpu_predicts(dtype: torch.dtype, choice: str, monkeypatch: pytest.MonkeyPatch):
    wanted = canvas_logits(torch.device("cpu"), torch.float32)
    monkeypatch.setenv(VARIABLE, choice)
    found = canvas_logits(torch.device("cuda"), dtype)
    torch.testing.assert_close(found, wanted, atol=TOLERANCES[dtype], rtol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("choice", CHOICES)
def test_a_fill_on_the_card_is_reproducible(choice: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, choice)
    request = InfillRequest(
        document="a", prefix="import os\nimport ", suffix="\n\nprint(sys.argv)\n", language="python"
    )
    infiller = open_infiller()
    assert (infiller.model.kernels is not None) == (choice == "triton")
    once = infiller.complete(request)
    infiller.forget("a")
    again = infiller.complete(request)
    assert once.text == again.text
    assert once.steps >= 2
