"""Products with fixed weights on a CPU, the weights laid out once, as the library that multiplies them reads them.

`F.linear` in bfloat16 lays a weight matrix out anew in each call: of the embedded model's passes of 8 tokens, whose
weights fit into the cache, that was most of the time (8 x 256 x 8,192: 0.9 ms, and 0.2 ms so; one core of an EPYC).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LAID_OUT_FOR = 8
"""Rows that the layout is chosen for. From 1 to 240 it made no difference."""
LARGEST_HALF = 65504.0
"""Of float16."""


def padded_rows(num_rows: int) -> int:
    """The next number of rows that products are made for: 8, 16, … 64, then 96, 128, …

    For each number of rows oneDNN compiles a product anew: 0.6 ms to 1.2 ms, and 0.6 MB of code that is kept.
    """
    step = 8 if num_rows <= 64 else 32
    return -(-num_rows // step) * step


def pad_rows(x: Tensor) -> Tensor:
    """x [N, size] with rows of zeros behind it, as many as `padded_rows` says."""
    missing = padded_rows(len(x)) - len(x)
    return F.pad(x, (0, 0, 0, missing)) if missing else x


def product_with(weights: Tensor) -> "CPUProduct":
    """The fastest product with `weights` [out, in] that this machine has."""
    weights = weights.detach().contiguous()
    return kind_for(weights, has_half_weights(), has_layout(weights.dtype))(weights)


def kind_for(weights: Tensor, has_half: bool, has_onednn: bool) -> "type[CPUProduct]":
    """The fastest kind of product with `weights`, of FBGEMM's, oneDNN's and torch's own. Pure."""
    if has_half and weights.dtype == torch.float32:
        least, most = weights.aminmax()
        if least >= -LARGEST_HALF and most <= LARGEST_HALF:
            return HalfWeights
    return InOneDNN if has_onednn else CPUProduct


class CPUProduct:
    """x [N, in] -> x @ weights.T [N, out], of weights [out, in] in the dtype of x. N should be a `padded_rows`.

    By `F.linear`: for builds without oneDNN, as Macs', and for bfloat16 where the processor has too little for that.
    """

    def __init__(self, weights: Tensor) -> None:
        self._weights: Any = weights
        """As the library keeps them."""

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self._weights)

    def gelu(self, x: Tensor) -> Tensor:
        """The tanh gelu of the product."""
        return F.gelu(self(x), approximate="tanh")

    def times(self, x: Tensor, other: Tensor) -> Tensor:
        """The product, multiplied by `other` [N, out]."""
        return self(x).mul_(other)


class HalfWeights(CPUProduct):
    """By FBGEMM, from float32 to float32 with weights in float16, of which a pass reads half as much.

    The embedded model's products of 8, 24 and 64 tokens take 3.3, 6.4 and 12.9 ms so, and 4.9, 8.5 and 17.1 ms by
    oneDNN in float32 (one core of an EPYC without bfloat16). Published bfloat16 weights of usual size are not rounded;
    where a norm or a scale is multiplied in, by 2**-11 at most, an eighth of what bfloat16 rounds.
    """

    def __init__(self, weights: Tensor) -> None:
        super().__init__(torch.ops.quantized.linear_prepack_fp16(weights, None))

    def __call__(self, x: Tensor) -> Tensor:
        return torch.ops.quantized.linear_dynamic_fp16(x, self._weights)


class InOneDNN(CPUProduct):
    """By the operations that torch.compile writes for `F.linear`."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__(torch.ops.mkldnn._reorder_linear_weight.default(weights, LAID_OUT_FOR))

    def __call__(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise.default(x, self._weights, None, "none", [], "")

    def gelu(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise.default(x, self._weights, None, "gelu", [], "tanh")

    def times(self, x: Tensor, other: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise.binary(x, other, self._weights, None, "mul")


def has_half_weights() -> bool:
    """Whether torch multiplies by FBGEMM, which is for x86."""
    is_there = hasattr(torch.ops.quantized, "linear_dynamic_fp16")
    return is_there and torch.backends.quantized.engine in ("x86", "fbgemm")


def has_layout(dtype: torch.dtype) -> bool:
    """Whether oneDNN is there, and takes weights in `dtype`: bfloat16 wants AVX-512, or conversions from it."""
    return torch.backends.mkldnn.is_available() and (
        dtype != torch.bfloat16 or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
