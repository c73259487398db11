"""Products with fixed weights on a CPU, the weights laid out once as oneDNN reads them.

`F.linear` in bfloat16 lays a weight matrix out anew in each call: of the embedded model's passes of 8 tokens, whose
weights fit into the cache, that was most of the time (8 x 256 x 8,192: 0.9 ms, and 0.2 ms so; one core of an EPYC).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LAID_OUT_FOR = 8
"""Rows that the layout is chosen for. From 1 to 240 it made no difference."""


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


class CPUProduct:
    """x [N, in] -> x @ weights.T [N, out], of weights [out, in] in the dtype of x. N should be a `padded_rows`."""

    def __init__(self, weights: Tensor) -> None:
        # What torch.compile writes for `F.linear`; builds without oneDNN, as for Macs, have no such operation.
        self._is_packed = torch.backends.mkldnn.is_available()
        weights = weights.detach().contiguous()
        if self._is_packed:
            weights = torch.ops.mkldnn._reorder_linear_weight.default(weights, LAID_OUT_FOR)
        self._weights = weights

    def __call__(self, x: Tensor) -> Tensor:
        if not self._is_packed:
            return F.linear(x, self._weights)
        return torch.ops.mkldnn._linear_pointwise.default(x, self._weights, None, "none", [], "")

    def gelu(self, x: Tensor) -> Tensor:
        """The tanh gelu of the product."""
        if not self._is_packed:
            return F.gelu(F.linear(x, self._weights), approximate="tanh")
        return torch.ops.mkldnn._linear_pointwise.default(x, self._weights, None, "gelu", [], "tanh")

    def times(self, x: Tensor, other: Tensor) -> Tensor:
        """The product, multiplied by `other` [N, out]."""
        if not self._is_packed:
            return F.linear(x, self._weights) * other
        return torch.ops.mkldnn._linear_pointwise.binary(x, other, self._weights, None, "mul")
