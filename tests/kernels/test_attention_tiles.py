"""Tiles suit the rows there are, and the memory of the card."""

import pytest
from tests.kernels.builds import SHARED_LIMITS

from midfill.kernels.attention_tiles import tile_for, tiles


@pytest.mark.parametrize("size", [64, 128, 256, 512])
def test_one_token_takes_the_least_rows_that_matrix_instructions_take(size: int) -> None:
    assert tile_for(2, size, 2, SHARED_LIMITS[90]).rows == tile_for(16, size, 2, SHARED_LIMITS[90]).rows == 16


def test_large_heads_take_fewer_rows_where_there_is_less_memory() -> None:
    assert tile_for(512, 512, 2, SHARED_LIMITS[90]).rows == 64
    assert tile_for(512, 512, 2, SHARED_LIMITS[89]).rows == 32


def test_heads_that_no_tile_holds_are_refused() -> None:
    with pytest.raises(AssertionError, match="512"):
        tile_for(16, 1024, 2, SHARED_LIMITS[90])


def test_the_last_tile_may_have_few_rows() -> None:
    tile = tile_for(100, 256, 2, SHARED_LIMITS[90])
    assert [tiles(rows, tile) for rows in (1, tile.rows, tile.rows + 1)] == [1, 1, 2]
