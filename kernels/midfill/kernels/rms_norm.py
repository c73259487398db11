"""RMS norm of rows: x / rms(x) * weight, computed in float32 and rounded once.

Bytes moved: x is read once and the result written once. Gemma 4's norms have a plain weight, or none.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from midfill.kernels.launch import block_of, launch, warps_for
from midfill.kernels.precision import widened


def rms_norm_reference(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """x [N, size] -> [N, size]; `weight` [size]."""
    wide = widened(x)
    normed = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)
    return (normed if weight is None else normed * widened(weight)).to(x.dtype)


@triton.jit
def _rms_norm_kernel(x_ptr, weight_ptr, out_ptr, row_stride, size, eps, HAS_WEIGHT: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < size
    x = tl.load(x_ptr + row * row_stride + columns, mask=inside, other=0.0).to(tl.float32)
    normed = x * tl.rsqrt(tl.sum(x * x, 0) / size + eps)
    if HAS_WEIGHT:
        normed *= tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(out_ptr + row * size + columns, normed.to(out_ptr.dtype.element_ty), mask=inside)


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """`rms_norm_reference` by one kernel; rows of x may stand apart, those of the result do not."""
    assert x.ndim == 2, f"wanted [N, size], got {tuple(x.shape)}"
    assert x.stride(1) == 1, f"wanted rows in one piece, got strides {x.stride()}"
    assert weight is None or weight.shape == x.shape[1:], f"weight {tuple(weight.shape)} for {tuple(x.shape)}"
    num_rows, size = x.shape
    out = torch.empty(num_rows, size, dtype=x.dtype, device=x.device)
    block = block_of(size)
    arguments = x, weight, out, x.stride(0), size, eps, weight is not None, block
    launch(_rms_norm_kernel, [num_rows], *arguments, num_warps=warps_for(block))
    return out
