"""`midfill.engine.loading`, and the embedded model on a card: the same predictions as on the CPU, and whole fills."""

import pytest
import torch

from midfill.engine.checkpoint import load
from midfill.engine.infill import Infiller
from midfill.engine.installed import embedded_model
from midfill.engine.loading import open_infiller, working_dtype
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.settings import settings_for
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.wire import InfillRequest

TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.5}
"""Absolute, on logits of up to 30: other kernels add up in other orders; bfloat16 keeps three digits."""


def canvas_logits(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Logits [C, V] of one denoise step over a prompt that was prefilled in two chunks."""
    checkpoint = load(embedded_model(), device, dtype)
    cache = PrefixCache(checkpoint.model, 1 << 30, chunk_tokens=40)
    slot = cache._new_slot()
    prompt = Tokenizer(checkpoint.tokenizer_path).encode("def median(values):\n    ordered = sorted(values)\n" * 4)
    cache.encode(slot, prompt[:40])
    cache.encode(slot, prompt[40:])
    canvas = torch.arange(100, 132, device=device)[None]
    positions = torch.arange(len(prompt), len(prompt) + 32, device=device)
    with torch.inference_mode():
        hidden = checkpoint.model.denoise(canvas, positions, None, slot.attend_canvas)
        return checkpoint.model.logits(hidden)[0].cpu()


def test_float16_is_never_the_working_dtype():
    assert working_dtype(torch.device("cpu")) in (torch.float32, torch.bfloat16)
    assert working_dtype(torch.device("cuda")) == torch.bfloat16


def test_the_embedded_model_is_the_default_and_its_progress_is_told():
    shares: list[float] = []
    infiller = open_infiller(on_share=shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] == 1
    assert infiller.model.config.vocab_size == 8192
    assert infiller.settings.longest_canvas == infiller.model.config.canvas_length


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_card_predicts_what_the_cpu_predicts(dtype: torch.dtype):
    wanted = canvas_logits(torch.device("cpu"), torch.float32)
    found = canvas_logits(torch.device("cuda"), dtype)
    torch.testing.assert_close(found, wanted, atol=TOLERANCES[dtype], rtol=0)


@pytest.mark.gpu
def test_a_fill_on_the_card_is_reproducible():
    checkpoint = load(embedded_model(), torch.device("cuda"), torch.bfloat16)
    tokenizer = Tokenizer(checkpoint.tokenizer_path)
    settings = settings_for(tokenizer, checkpoint.generation, checkpoint.config.canvas_length)
    request = InfillRequest(
        document="a", prefix="import os\nimport ", suffix="\n\nprint(sys.argv)\n", language="python"
    )
    once, again = (Infiller(checkpoint.model, tokenizer, settings).complete(request) for _ in range(2))
    assert once.text == again.text
    assert once.steps >= 2
