"""`engine/nano/train_drafter.py`: it learns in the engine's own terms, and what it leaves is a checkpoint."""

from pathlib import Path

import pytest
import torch
from drafter_lessons import Lesson
from drafter_rounds import loss_of
from drafter_shape import new_drafter, save
from tests.nano.lessons_here import drafter_config, lessons, teacher, trained
from transformers import Gemma4AssistantForCausalLM

from midfill.engine.checkpoint import load
from midfill.engine.gemma4_checkpoint import load_drafter
from midfill.engine.installed import embedded_model
from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.speculative import speculate
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


def test_the_shipped_drafter_is_small_and_writes_the_plain_text_in_fewer_passes():
    directory = embedded_model() / "drafter"
    assert sum(path.stat().st_size for path in directory.iterdir()) < 4e6
    model = load(embedded_model(), CPU, torch.float32).model
    drafter = load_drafter(directory, model.config, CPU, torch.float32)
    slot = KVSlot(model.config, CPU, torch.float32)
    PrefixCache(model, 0).encode(slot, list(range(300, 400)))
    steps = speculate(model, slot, lambda slot, token: drafter.draft(model, slot, token, 3), verify_greedy)
    rounds = [next(steps) for _ in range(20)]
    assert sum(map(len, rounds)) > 25
