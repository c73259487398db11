"""`engine/nano/train_drafter.py`: it learns in the engine's own terms, and what it leaves is a checkpoint."""

import inspect
from json import JSONDecoder
from pathlib import Path

import pytest
import torch
from drafter_lessons import Lesson
from drafter_rounds import loss_of
from drafter_shape import new_drafter, save
from examples import BOS, PREFIX, PYTHON, SUFFIX
from tests.nano.lessons_here import drafter_config, lessons, slot_of, teacher, trained
from train_drafter import open_drafter
from transformers import Gemma4AssistantForCausalLM

from midfill.engine.gemma4_checkpoint import load_drafter
from midfill.engine.installed import embedded_model
from midfill.engine.speculative import speculate
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.verify import verify_greedy

CPU = torch.device("cpu")
STEPS = 4


@pytest.fixture(scope="module")
def two_lessons(tmp_path_factory: pytest.TempPathFactory) -> list[Lesson]:
    return lessons(tmp_path_factory.mktemp("corpus"), count=2)


def test_the_loss_falls_on_what_is_taught(two_lessons: list[Lesson]):
    torch.manual_seed(0)
    before, after = new_drafter(drafter_config(), teacher()), trained(two_lessons, 30)
    for lesson in two_lessons:
        with torch.no_grad():
            assert loss_of(after, teacher(), lesson) < loss_of(before, teacher(), lesson) - 2


@pytest.mark.parametrize("backbone_hidden_size", [256, 384])
def test_a_drafter_for_another_shape_is_not_trained_on(tmp_path: Path, backbone_hidden_size: int):
    torch.manual_seed(0)
    saved = new_drafter(drafter_config(), teacher())
    save(saved, drafter_config(), tmp_path)
    config = {**drafter_config(), "backbone_hidden_size": backbone_hidden_size}
    opened = open_drafter(tmp_path, config, teacher(), is_fresh=False)
    assert opened.config.backbone_hidden_size == backbone_hidden_size
    is_kept = torch.equal(opened.post_projection.weight[:256], saved.post_projection.weight.bfloat16().float())
    assert is_kept == (backbone_hidden_size == 256)


def test_the_same_steps_give_the_same_weights(two_lessons: list[Lesson]):
    first, second = (trained(two_lessons, STEPS).state_dict() for _ in range(2))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_what_is_saved_loads_here_and_in_transformers(two_lessons: list[Lesson], tmp_path: Path):
    drafter = trained(two_lessons, STEPS)
    save(drafter, drafter_config(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    loaded = load_drafter(tmp_path, teacher().config, CPU, torch.float32)
    theirs = Gemma4AssistantForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).state_dict()
    for name, tensor in drafter.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.bfloat16().float()), name
        assert torch.equal(theirs[name], loaded.state_dict()[name]), name


def test_the_shipped_drafter_is_small():
    assert sum(path.stat().st_size for path in (embedded_model() / "drafter").iterdir()) < 4e6


def test_the_shipped_drafter_writes_code_in_a_third_fewer_passes():
    drafter = load_drafter(embedded_model() / "drafter", teacher().config, CPU, torch.float32)
    code = Tokenizer(embedded_model() / "tokenizer.json").encode(inspect.getsource(JSONDecoder))
    tokens = passes = 0
    for length in (400, 450, 500, 550, 600):
        slot = slot_of([BOS, PYTHON, SUFFIX, PREFIX, *code[:length]])
        steps = speculate(teacher(), slot, lambda slot, token: drafter.draft(teacher(), slot, token, 3), verify_greedy)
        while len(slot.tokens) < length + 24:
            tokens += len(next(steps))
            passes += 1
    assert passes < tokens * 2 / 3
