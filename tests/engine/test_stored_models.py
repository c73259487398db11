import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from midfill.engine.checkpoint import load
from midfill.engine.gemma4_checkpoint import load_drafter, load_gemma4
from midfill.engine.installed import models_dir
from midfill.engine.stored_models import StoredModel, look_at, size_on_disk, stored_models

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def data_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def num_weights(model: torch.nn.Module) -> int:
    return sum(tensor.numel() for tensor in model.state_dict().values() if tensor.is_floating_point())


def pulled(name: str, source: Path) -> Path:
    return shutil.copytree(source, models_dir() / name)


def named(name: str) -> StoredModel:
    return next(model for model in stored_models() if model.name == name)


def test_the_embedded_model_stands_first_and_alone_where_nothing_was_pulled() -> None:
    nano = stored_models()[0]
    assert (nano.name, nano.kind, nano.is_embedded, nano.is_whole) == ("nano", "diffusion_gemma", True, True)
    assert all(model.is_embedded for model in stored_models())


def test_diffusion_gemma_is_for_both_modes(tiny_checkpoint: Callable[[str], Path]) -> None:
    path = pulled("acme--canvas", tiny_checkpoint("released"))
    found = named("acme--canvas")
    assert (found.uses, found.problem) == (("fast", "best"), None)
    assert found.num_weights is not None
    loaded = load(path, CPU, torch.float32).model
    num_scalars = len(loaded.config.layers) + 1  # the encoder's, which do not count
    assert 0 <= num_weights(loaded) - found.num_weights <= num_scalars


@pytest.mark.parametrize("variant", ["E2B", "12B", "26B-A4B", "31B", "text"])
def test_gemma4_is_for_best_mode_and_its_towers_do_not_count(tiny_gemma4: Callable[[str], Path], variant: str) -> None:
    path = pulled("acme--ar", tiny_gemma4(variant))
    found = named("acme--ar")
    assert (found.uses, found.problem) == (("best",), None)
    assert found.num_weights == num_weights(load_gemma4(path, CPU, torch.float32).model)


@pytest.mark.parametrize("variant", ["E2B", "12B"])
def test_a_drafter_is_for_drafting(
    tiny_drafter: Callable[[str], Path], tiny_gemma4: Callable[[str], Path], variant: str
) -> None:
    found = look_at(tiny_drafter(variant))
    assert (found.uses, found.problem) == (("drafting",), None)
    target = load_gemma4(tiny_gemma4(variant), CPU, torch.float32).config
    assert found.num_weights == num_weights(load_drafter(tiny_drafter(variant), target, CPU, torch.float32))


def test_an_interrupted_pull_is_listed_with_the_bytes_that_came() -> None:
    directory = models_dir() / "acme--half"
    directory.mkdir(parents=True)
    (directory / "model.safetensors.0123456789abcdef.part").write_bytes(bytes(1000))
    found = named("acme--half")
    assert (found.is_whole, found.uses, found.disk_bytes) == (False, (), 1000)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"model_type": "llama"}, "wanted a DiffusionGemma, a Gemma 4 or a drafter, got model_type 'llama'"),
        ({}, "wanted a DiffusionGemma, a Gemma 4 or a drafter, got model_type None"),
        ({"model_type": ["gemma4"]}, "wanted a DiffusionGemma, a Gemma 4 or a drafter"),
        ({"model_type": "gemma4"}, "wanted a text_config object"),
        ({"model_type": "gemma4", "text_config": {}, "quantization_config": {"quant_method": "fp8"}}, "unquantised"),
        ([], "wanted a valid config.json"),
    ],
)
def test_what_the_engine_cannot_run_is_listed_with_the_reason(tmp_path: Path, config: object, problem: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = look_at(tmp_path)
    assert problem in (found.problem or "")
    assert (found.uses, found.num_weights) == ((), None)


def test_a_lost_shard_is_a_problem_of_that_model_only(tiny_gemma4: Callable[[str], Path]) -> None:
    whole, broken = (pulled(name, tiny_gemma4("text")) for name in ("acme--whole", "acme--broken"))
    (broken / "model.safetensors").unlink()
    assert "no such file" in (named("acme--broken").problem or "")
    assert named("acme--whole") == look_at(whole)


@pytest.mark.skipif(sys.platform != "linux", reason="names are text there")
def test_a_name_that_is_no_text_is_listed() -> None:
    (models_dir() / os.fsdecode(b"acme--\xff")).mkdir(parents=True)
    assert named("acme--\N{REPLACEMENT CHARACTER}").is_whole is False


def test_what_links_lead_to_takes_no_space(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "large").write_bytes(bytes(100_000))
    (tmp_path / "model" / "link").symlink_to(tmp_path / "large")
    (tmp_path / "model" / "folder").mkdir()
    (tmp_path / "model" / "folder" / "file").write_bytes(bytes(10))
    assert 10 <= size_on_disk(tmp_path / "model") < 1000


def test_looking_needs_no_torch() -> None:
    script = (
        "import sys; sys.modules['torch'] = sys.modules['safetensors'] = None\n"
        "from midfill.engine.stored_models import stored_models; assert stored_models()[0].problem is None"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
