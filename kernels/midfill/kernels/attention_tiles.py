"""How much of an attention each program does: rows and keys at once, and how many keys at least.

Sizes were chosen from what the assembler says (`tests/kernels/test_attention.py`), and have not been timed.
"""

from typing import NamedTuple

MULTIPROCESSORS = 132
"""Of an H100 or H200."""
LEAST_KEYS = 64
"""Keys that a program walks at least, where there are so many: they weigh as much as the part that it writes."""
LARGE_SHARED = 200 << 10
"""Bytes of shared memory for a program, which Hopper has and consumer cards, with 99 KB, have not."""


class Tile(NamedTuple):
    """What one program holds, and how it is started."""

    rows: int
    """Of Q: heads that share a KV head, times tokens."""
    keys: int
    num_warps: int
    num_stages: int


def tile_for(rows: int, size: int, item_bytes: int, shared_bytes: int) -> Tile:
    """For `rows` rows of `size` numbers, of `item_bytes` each, a KV head; a program may have `shared_bytes`."""
    assert size <= 512, f"wanted heads of at most 512 numbers, got {size}"
    if item_bytes > 2:
        # float32 is computed exactly, without matrix instructions: for tests and tiny models.
        return Tile(16, 16, num_warps=8, num_stages=1)
    if rows <= 16:
        return Tile(16, 32 if size > 256 else 64, num_warps=4, num_stages=2)
    if size > 256:
        # The float32 result of 64 rows fills half of all registers. 197 KB with two stages; 32 rows take 98 KB.
        return Tile(64 if shared_bytes > LARGE_SHARED else 32, 32, num_warps=8, num_stages=2)
    if size > 128:
        # 164 KB; on other cards 68 KB. Four warps spill.
        return Tile(64, 64 if shared_bytes > LARGE_SHARED else 32, num_warps=8, num_stages=2)
    return Tile(64, 32, num_warps=4, num_stages=2)


def tiles(rows: int, tile: Tile) -> int:
    """How many programs hold `rows` rows."""
    return -(-rows // tile.rows)
