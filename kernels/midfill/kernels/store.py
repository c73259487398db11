"""K and V of a pass, written behind what a slot holds.

One launch for all layers of a kind. Bytes moved: each number is read and written once. The slot's memory is known by
its addresses, read on the device, so one CUDA graph serves every document.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from midfill.kernels.launch import launch


def store_reference(own: Tensor, keys: list[Tensor], values: list[Tensor], length: int) -> None:
    """Writes `own` [layers, 2, KV heads, T, D] behind `length` tokens of each layer's [KV heads, capacity, D]."""
    for layer, (k, v) in enumerate(zip(keys, values, strict=True)):
        k[:, length : length + own.shape[3]] = own[layer, 0]
        v[:, length : length + own.shape[3]] = own[layer, 1]


@triton.jit(do_not_specialize=["num_tokens"])
def _store_kernel(
    own_ptr,
    table_ptr,
    rows_ptr,
    length_ptr,
    num_tokens,
    TABLE_STRIDE: tl.constexpr,
    HEADS: tl.constexpr,
    D: tl.constexpr,
):
    # One program a token, head, and K or V, of a layer.
    token, head, place = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    row = table_ptr + tl.load(rows_ptr + place // 2) * TABLE_STRIDE
    slot_ptr = tl.load(row + place % 2).to(tl.pointer_type(own_ptr.dtype.element_ty))
    target = tl.load(row + 2) * head + (tl.load(length_ptr) + token) * D
    source = ((place * HEADS + head).to(tl.int64) * num_tokens + token) * D
    numbers = tl.arange(0, D)
    # Triton knows nothing of an address that came as a number; without the hint it would store 2 bytes at a time.
    tl.store(tl.multiple_of(slot_ptr + target + numbers, 16), tl.load(own_ptr + source + numbers))


def store(own: Tensor, table: Tensor, rows: Tensor, length: Tensor) -> None:
    """`store_reference`, the slot's layers being `rows` [layers] int64 of `table` [any, any] int64.

    A row of the table begins with the address of K, that of V, and the elements from one head to the next; K and V
    have the dtype of `own`, and room. `length` [1] int64 is on the device, too.
    """
    assert own.is_contiguous(), f"wanted K and V in one piece, got strides {own.stride()}"
    layers, _, heads, num_tokens, size = own.shape
    assert rows.shape == (layers,), f"{tuple(rows.shape)} rows for {layers} layers"
    assert size & (size - 1) == 0, f"wanted a head size that is a power of two, got {size}"
    assert table.dtype == rows.dtype == length.dtype == torch.int64
    arguments = own, table, rows, length, num_tokens, table.stride(0), heads, size
    launch(_store_kernel, [num_tokens, heads, 2 * layers], *arguments, num_warps=1)
