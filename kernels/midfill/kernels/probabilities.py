"""Logits become the probabilities that the next step is conditioned on, where they stand; and their soft embedding.

Bytes moved: the logits once in and once out (2 bytes each), a byte of bans each from L2. `row_statistics.py` has the
sum already, so that a probability needs its own logit alone.

probabilities x embedding is the library's product: it reads the 1.5 GB of the embedding once, which is all there is to
gain. It may cut the 262,144 columns into parts, so that all processors have work, and torch's default
(`torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction`) lets it add those in bfloat16: within a part sums
are float32, but each part, and each sum of parts, is rounded to 8 bits.

What it would cost to do without bfloat16 probabilities in memory (the softmax in the product's prologue) is that each
block of hidden columns computes them again. They take the logits' place: nothing of the vocabulary's size is allocated,
and nothing in float32.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from midfill.kernels.launch import launch
from midfill.kernels.tempering import Tempering, load_scores, scores_reference

BLOCK = 2048
"""Columns a program. 8 a thread are one load of 16 bytes in bfloat16; with more, the bans would be laid out otherwise
than the logits, and pass through shared memory."""
NUM_WARPS = 8


def probabilities_reference(
    logits: Tensor, tempering: Tempering, log_normaliser: Tensor, pinned: Tensor, pinned_token: Tensor
) -> Tensor:
    """Logits [N, V] -> probabilities [N, V] in their dtype: one-hot at `pinned_token` [N] int64 where `pinned` [N]."""
    probabilities = (scores_reference(logits, tempering) - log_normaliser[:, None]).exp()
    one_hot = torch.nn.functional.one_hot(pinned_token, logits.shape[1])
    return torch.where(pinned[:, None], one_hot, probabilities).to(logits.dtype)


@triton.jit
def _probabilities_kernel(
    logits_ptr,
    step_ptr,
    temperatures_ptr,
    banned_ptr,
    is_first_ptr,
    log_normaliser_ptr,
    pinned_ptr,
    pinned_token_ptr,
    row_stride,
    vocab,
    cap,
    HAS_CAP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # One program a row and block of its columns. A pinned row is not read.
    row = tl.program_id(0)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    row_ptr = logits_ptr + row.to(tl.int64) * row_stride
    if tl.load(pinned_ptr + row):
        probabilities = (columns == tl.load(pinned_token_ptr + row)).to(tl.float32)
    else:
        temperature = tl.load(temperatures_ptr + tl.load(step_ptr))
        is_first = tl.load(is_first_ptr + row) != 0
        scores = load_scores(row_ptr, columns, banned_ptr, is_first, temperature, cap, vocab, HAS_CAP)
        probabilities = tl.exp(scores - tl.load(log_normaliser_ptr + row))
    tl.store(row_ptr + columns, probabilities.to(logits_ptr.dtype.element_ty), mask=columns < vocab)


def probabilities_in_place(
    logits: Tensor, tempering: Tempering, log_normaliser: Tensor, pinned: Tensor, pinned_token: Tensor
) -> Tensor:
    """`probabilities_reference` by one kernel, written over the logits: those returned."""
    tempering.check(logits)
    num_rows, vocab = logits.shape
    for each, dtype in ((log_normaliser, torch.float32), (pinned, torch.bool), (pinned_token, torch.int64)):
        assert each.shape == (num_rows,), f"{tuple(each.shape)} for {num_rows} rows"
        assert each.is_contiguous()
        assert each.dtype == dtype, f"wanted {dtype}, got {each.dtype}"
    cap, step, temperatures, banned, is_first = tempering
    inputs = logits, step, temperatures, banned, is_first, log_normaliser, pinned, pinned_token
    sizes = logits.stride(0), vocab, cap or 1.0
    grid = num_rows, -(-vocab // BLOCK)
    launch(_probabilities_kernel, grid, *inputs, *sizes, cap is not None, BLOCK, num_warps=NUM_WARPS)
    return logits


def soft_embedding(probabilities: Tensor, embedding: Tensor, scale: float) -> Tensor:
    """Mean embedding times `scale`: probabilities [N, V] and embedding [V, hidden] -> [N, hidden].

    The scale goes into the product, before its sums are rounded, and costs no pass of its own. In bfloat16 on a card,
    the error is that of some parts which are rounded and added in bfloat16, not of one rounding.
    """
    nothing = probabilities.new_empty(1)  # with beta 0 it is not looked at
    return torch.addmm(nothing, probabilities, embedding, beta=0, alpha=scale)
