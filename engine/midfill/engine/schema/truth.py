"""What schemas that refer to each other in place make of one another: `allOf`, `anyOf`, `oneOf`, `not`, `if`. Pure.

The schemas of a place are bits of a mask, each after all that it refers to.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from midfill.engine.schema.nodes import Kind, Node


class Form(NamedTuple):
    """What a node refers to in place: bits, or indices, of the place's nodes."""

    all_of: int
    any_of: tuple[int, ...]
    one_of: tuple[tuple[int, ...], ...]
    none_of: int
    condition: tuple[int, int | None, int | None] | None
    dependent: tuple[tuple[str, int], ...]
    composites: int


def form_of(node: Node, index: Mapping[int, int]) -> Form:
    """The form of a node, given the index of each by its number; it refers to itself or later ones in vain."""
    place = index[node.number]

    def known(nodes: Iterable[Node]) -> int:
        return union(1 << index[each.number] for each in nodes if index[each.number] < place)

    def is_known(group: Sequence[Node]) -> bool:
        return all(index[each.number] < place for each in group)

    def bit(part: Node | None) -> int | None:
        return None if part is None else known([part])

    first, then, otherwise = node.condition or (None, None, None)
    return Form(
        all_of=known(node.all_of),
        any_of=tuple(known(group) for group in node.any_of if is_known(group)),
        one_of=tuple(tuple(index[each.number] for each in group) for group in node.one_of if is_known(group)),
        none_of=known(node.none_of),
        condition=None if first is None else (known([first]), bit(then), bit(otherwise)),
        dependent=tuple((name, known([each])) for name, each in node.dependent_schemas.items() if is_known([each])),
        composites=known(node.composites),
    )


def may_be(form: Form, hopeful: int, sure: int, kind: Kind | None, keys: Container[str]) -> bool:
    """Whether a node may still be true where the `hopeful` ones may be, and of those the `sure` ones will be."""
    if form.all_of & ~hopeful or form.none_of & sure or any(not group & hopeful for group in form.any_of):
        return False
    for group in form.one_of:
        if sum(sure >> each & 1 for each in group) > 1 or not any(hopeful >> each & 1 for each in group):
            return False
    if form.condition is not None:
        test, then, otherwise = form.condition
        may_hold = hopeful & test and (then is None or hopeful & then)
        if not may_hold and (sure & test or not (otherwise is None or hopeful & otherwise)):
            return False
    if form.composites and kind in ("object", "array") and not form.composites & hopeful:
        return False
    return all(bit & hopeful for key, bit in form.dependent if key in keys)


def must_be(form: Form, hopeful: int, sure: int, kind: Kind | None) -> bool:
    """Whether a node is true whichever of the `hopeful` nodes, of which some are `sure`, will be."""
    if form.all_of & ~sure or form.none_of & hopeful or any(not group & sure for group in form.any_of):
        return False
    for group in form.one_of:
        if sum(hopeful >> each & 1 for each in group) != 1 or not any(sure >> each & 1 for each in group):
            return False
    if form.condition is not None:
        test, then, otherwise = form.condition
        then_holds, else_holds = then is None or sure & then, otherwise is None or sure & otherwise
        if not (then_holds or not hopeful & test) or not (else_holds or sure & test):
            return False
    if form.composites and kind in (None, "object", "array") and not form.composites & sure:
        return False
    return all(bit & sure for _, bit in form.dependent)


def holds(form: Form, true: int, kind: Kind, keys: Container[str]) -> bool:
    """Whether what a node refers to in place, of which the bits `true` are, makes it true."""
    if form.all_of & ~true or form.none_of & true or any(not group & true for group in form.any_of):
        return False
    if any(sum(true >> each & 1 for each in group) != 1 for group in form.one_of):
        return False
    if form.condition is not None:
        test, then, otherwise = form.condition
        branch = then if true & test else otherwise
        if branch is not None and not true & branch:
            return False
    if form.composites and kind in ("object", "array") and not form.composites & true:
        return False
    return all(bit & true for key, bit in form.dependent if key in keys)


def bits(mask: int) -> Iterable[int]:
    """The indices of a mask's bits, the lowest first."""
    return (index for index in range(mask.bit_length()) if mask >> index & 1)


def union(masks: Iterable[int]) -> int:
    """The bits of any of the masks."""
    found = 0
    for mask in masks:
        found |= mask
    return found
