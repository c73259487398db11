from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.schema.number_literals import Literals, digits_of

SIZES = st.integers(0, 3000).map(Decimal) | st.decimals(0, 99, places=3)


@given(st.lists(SIZES, max_size=8), st.integers(1, 300), st.booleans())
def test_numbers_are_found_by_the_digits_they_begin_with(sizes: list[Decimal], digits: int, more: bool) -> None:
    begun = str(digits)
    padded = {size: digits_of(size).ljust(len(begun), "0") for size in sizes if size}
    wanted = {size for size, text in padded.items() if (text.startswith(begun) if more else text == begun)}
    assert set(Literals(sizes).starting(digits, more=more)) == {size for size in wanted if size in sizes}


def test_digits_leave_out_zeros_at_both_ends() -> None:
    assert [digits_of(Decimal(text)) for text in ("0.0250", "1200", "0", "0.000", "101")] == ["25", "12", "", "", "101"]


def test_short_numbers_come_first() -> None:
    assert Literals(map(Decimal, ("1234", "7", "10", "0.5"))).shortest[0] == 7


def test_numbers_of_both() -> None:
    both = Literals(map(Decimal, (1, 2, 3))) & Literals(map(Decimal, (2, 3, 4)))
    assert both.shortest == [2, 3]
