"""transformers runs on the very weights of our model, and predicts the same."""

import pytest
import torch
from tests.benchmarks.gpu.large_model import TINY, config_of, random_model

from midfill.engine import passes
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.kv import KVSlot

TOLERANCE = 1e-4
"""Absolute, float32, as for the parity tests of the engine; seen 3e-6."""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> DiffusionGemma:
    torch.manual_seed(0)
    return random_model(config_of(TINY), CPU, torch.float32)


@torch.inference_mode()
def test_it_shares_the_weights_and_predicts_the_same(model: DiffusionGemma) -> None:
    from tests.benchmarks.gpu.theirs import same_in_transformers  # here, as transformers takes seconds to import

    theirs = same_in_transformers(model, TINY)
    ours, same = model.layers[1].get_parameter("mlp.down_proj.weight"), theirs.model.encoder.language_model.layers[1]
    assert same.mlp.down_proj.weight.data_ptr() == ours.data_ptr()

    slot, cache = KVSlot(model.config, CPU, torch.float32), None
    for start in (0, 8, 16):
        part = list(range(start + 3, start + 11))
        slot.commit(part, passes.read(model, slot, part)[-1])
        positions = torch.arange(start, start + 8)[None]
        read = theirs.model.encoder(input_ids=torch.tensor([part]), past_key_values=cache, position_ids=positions)
        cache = read.past_key_values
    canvas, logits = torch.arange(5)[None], torch.randn(1, 5, TINY["vocab_size"])
    soft = model.soft_embed(logits.softmax(dim=-1))
    found = model.logits(passes.denoise(model, slot, canvas, soft))
    wanted = theirs(decoder_input_ids=canvas, past_key_values=cache, self_conditioning_logits=logits).logits
    torch.testing.assert_close(found, wanted, atol=TOLERANCE, rtol=0)
