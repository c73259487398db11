"""A pass's K and V stand behind the slot's tokens, and nothing else changes."""

import pytest
import torch
from tests.kernels.builds import Build, compile_all

from midfill.kernels.store import store, store_reference

LAYERS, HEADS, SIZE, CAPACITY = 3, 2, 16, 40


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("length", "num_tokens"), [(0, 1), (7, 5), (39, 1), (0, 40)])
def test_it_is_the_definition(length: int, num_tokens: int, dtype: torch.dtype, device: torch.device) -> None:
    draws = torch.Generator(device).manual_seed(length)
    slot = torch.randn(2, LAYERS, HEADS, CAPACITY, SIZE, generator=draws, device=device).to(dtype)
    own = torch.randn(LAYERS, 2, HEADS, num_tokens, SIZE, generator=draws, device=device).to(dtype)
    wanted = slot.clone()
    store_reference(own, list(wanted[0]), list(wanted[1]), length)
    # The layers of another kind stand between them in the table.
    rows = torch.tensor([0, 2, 3], device=device)
    table = torch.zeros(5, 4, dtype=torch.int64, device=device)
    for row, layer in zip(rows.tolist(), range(LAYERS), strict=True):
        places = slot[0, layer].data_ptr(), slot[1, layer].data_ptr(), CAPACITY * SIZE
        table[row, :3] = torch.tensor(places, device=device)
    store(own, table, rows, torch.tensor([length], device=device))
    assert torch.equal(slot, wanted)


def test_it_compiles_for_every_card_without_a_spill() -> None:
    pointers = {"own_ptr": "*bf16", "table_ptr": "*i64", "rows_ptr": "*i64", "length_ptr": "*i64"}
    constants = {"TABLE_STRIDE": 4, "HEADS": 8, "D": 256}
    varying = {"num_tokens": "i32"}
    build = Build("store", "_store_kernel", pointers | varying, constants, varying=tuple(varying), num_warps=1)
    for built in compile_all([build])[0]:
        assert built.fits
        assert built.spilled_bytes == 0
        assert built.has_vector_loads
        assert not built.has_narrow_stores
