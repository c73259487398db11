"""How kernels are started, and the sizes of their programs."""

from collections.abc import Sequence
from typing import Any


def launch(kernel: Any, grid: Sequence[int], *arguments: Any, num_warps: int = 4, num_stages: int = 3) -> None:
    """Starts the programs of `grid`, where there are any, on the arguments in the kernel's own order.

    Triton compiles a kernel anew where an integer is the first that is 1 or the first that is a multiple of 16. Numbers
    of tokens and the like, in which passes differ, are `do_not_specialize`: else a user would wait for the assembler.
    """
    if all(grid):
        kernel[tuple(grid)](*arguments, num_warps=num_warps, num_stages=num_stages)


def block_of(size: int) -> int:
    """The power of two that holds `size` numbers: what one program takes at once."""
    return 1 << max(0, size - 1).bit_length()


def warps_for(block: int) -> int:
    """Warps for a program that holds `block` numbers: 16 a thread, which are two loads of 16 bytes in bfloat16."""
    return max(1, min(16, block // 512))
