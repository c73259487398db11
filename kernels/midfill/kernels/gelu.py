"""gelu(gate) * up, the tanh gelu: the middle of a gated MLP, computed in float32 and rounded once.

Bytes moved: both halves are read once and the product written once.
Source: Gaussian error linear units, https://arxiv.org/abs/1606.08415; with 1 + tanh u = 2 sigmoid(2u).
"""

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from midfill.kernels.launch import block_of, launch, warps_for
from midfill.kernels.precision import widened

BLOCK = 512
"""Columns of a program: one warp, two loads of 16 bytes a thread from either half; 32 rows of 2,112 make 160."""


def gelu_mul_reference(gate_up: Tensor) -> Tensor:
    """gate_up [N, 2 * size], gates first -> [N, size]."""
    gate, up = widened(gate_up).chunk(2, dim=-1)
    return (F.gelu(gate, approximate="tanh") * up).to(gate_up.dtype)


@triton.jit
def gelu_tanh(x):
    """The tanh gelu of float32 x. The exponential is of nothing above 0, so that no x overflows it."""
    double_u = 1.5957691216057308 * x * (1.0 + 0.044715 * x * x)
    small = tl.exp(-tl.abs(double_u))
    return x * tl.where(x < 0.0, small, 1.0) / (1.0 + small)


@triton.jit
def _gelu_mul_kernel(gate_up_ptr, out_ptr, row_stride, size, BLOCK: tl.constexpr):
    # One program a row and block of columns.
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < size
    gate_ptr = gate_up_ptr + row * row_stride + columns
    gate = tl.load(gate_ptr, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_ptr + size, mask=inside, other=0.0).to(tl.float32)
    tl.store(out_ptr + row * size + columns, (gelu_tanh(gate) * up).to(out_ptr.dtype.element_ty), mask=inside)


def gelu_mul(gate_up: Tensor) -> Tensor:
    """`gelu_mul_reference` by one kernel; rows of gate_up may stand apart, those of the result do not."""
    assert gate_up.ndim == 2, f"wanted [N, 2 * size], got {tuple(gate_up.shape)}"
    assert gate_up.shape[1] % 2 == 0, f"wanted gates and as many more, got {tuple(gate_up.shape)}"
    assert gate_up.stride(1) == 1, f"wanted rows in one piece, got strides {gate_up.stride()}"
    num_rows, size = gate_up.shape[0], gate_up.shape[1] // 2
    out = torch.empty(num_rows, size, dtype=gate_up.dtype, device=gate_up.device)
    block = min(BLOCK, block_of(size))
    grid = num_rows, -(-size // block)
    launch(_gelu_mul_kernel, grid, gate_up, out, gate_up.stride(0), size, block, num_warps=warps_for(block))
    return out
