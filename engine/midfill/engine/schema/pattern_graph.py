"""The positions of a regular expression and what may follow each: its automaton without empty moves.

A position is one character set or one assertion of the pattern, repeats spelled out; sets of positions are bits of
an integer. Position 0 is the end of a match.
Source: Glushkov's construction (1961), with assertions kept as positions that read nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from midfill.engine.schema.char_sets import CharSet
from midfill.engine.schema.pattern_syntax import Assertion, Chars, Choice, Node, Repeat, UnsupportedPattern

MAX_POSITIONS = 10_000
UNREACHABLE = 1 << 60
"""The distance where no match can be reached."""

FINAL = 1
"""The set that holds only the end of a match."""


def bits(mask: int) -> Iterator[int]:
    """The positions of a set, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


@dataclass(slots=True)
class _Leaf:
    """One position. `shortest`: the fewest characters that a match of this piece reads."""

    position: int
    shortest: int
    nullable: bool = False

    @property
    def first(self) -> int:
        return 1 << self.position


@dataclass(slots=True)
class _Fork:
    """One of several pieces."""

    pieces: "list[_Piece]"
    first: int = 0
    shortest: int = UNREACHABLE
    nullable: bool = False

    def __post_init__(self) -> None:
        for piece in self.pieces:
            self.first |= piece.first
            self.shortest = min(self.shortest, piece.shortest)
            self.nullable |= piece.nullable


@dataclass(slots=True)
class _Chain:
    """Pieces in a row: it may stop before any from `least` on, and start the last again if it `loops`."""

    pieces: "list[_Piece]"
    least: int
    loops: bool = False
    first: int = 0
    shortest: int = 0
    nullable: bool = True

    def __post_init__(self) -> None:
        for at in reversed(range(len(self.pieces))):
            self.take(at)

    def take(self, at: int) -> None:
        """Makes first, shortest and nullable those of the chain from this piece on, when they are of the rest."""
        piece, may_stop = self.pieces[at], at >= self.least
        self.first = piece.first | (self.first if piece.nullable else 0)
        self.shortest = 0 if may_stop else min(piece.shortest + self.shortest, UNREACHABLE)
        self.nullable = may_stop or (piece.nullable and self.nullable)


_Piece = _Leaf | _Fork | _Chain


@dataclass(slots=True)
class Graph:
    """Positions by number: `follow` are those after each, `distance` the fewest characters from it to a match.

    The distance counts the position's own character, and never too many: assertions are taken to hold where they may.
    """

    chars: dict[CharSet, int] = field(default_factory=dict)
    """The positions of each character set."""
    assertions: dict[str, int] = field(default_factory=dict)
    follow: list[int] = field(default_factory=lambda: [0])
    distance: list[int] = field(default_factory=lambda: [0])
    first: int = 0
    _assertion_at: dict[int, str] = field(default_factory=dict)
    _leads_on: int = 0
    """The positions that the next one may follow."""
    _beside: dict[int, int] = field(default_factory=dict)
    """What else may follow a position, and the positions of which that is so."""
    _branches: int = 0
    """Those positions together."""

    def assertion(self, position: int) -> str | None:
        return self._assertion_at.get(position)

    def followers(self, positions: int) -> int:
        """What may follow one of these positions."""
        # In long repeats all but a few positions lead to the next one: those are moved together.
        found = (positions & self._leads_on) << 1
        if positions.bit_count() > len(self._beside):
            for beside, leading in self._beside.items():
                found |= beside if positions & leading else 0
            return found
        for position in bits(positions & self._branches):
            found |= self.follow[position]
        return found

    def sum_up(self) -> None:
        """Makes `followers` ready once all positions are linked."""
        for position, after in enumerate(self.follow):
            here, following = 1 << position, 2 << position
            self._leads_on |= here if after & following else 0
            beside = after & ~following
            if beside:
                self._branches |= here
                self._beside[beside] = self._beside.get(beside, 0) | here

    def add(self, node: Node) -> _Piece:
        if isinstance(node, Chars):
            return _Leaf(self._new(self.chars, node.chars), UNREACHABLE if node.chars == CharSet() else 1)
        if isinstance(node, Assertion):
            position = self._new(self.assertions, node.kind)
            self._assertion_at[position] = node.kind
            # What lies after `^` is reached at the text's start only, and there the set is crossed before it is used.
            return _Leaf(position, UNREACHABLE if node.kind == "^" else 0)
        if isinstance(node, Choice):
            return _Fork([self.add(part) for part in node.parts])
        if isinstance(node, Repeat):
            copies = (node.least or 1) if node.most is None else node.most
            return _Chain([self.add(node.part) for _ in range(copies)], node.least, node.most is None)
        return _Chain([self.add(part) for part in node.parts], len(node.parts))

    def _new(self, table: dict, key: CharSet | str) -> int:
        position = len(self.follow)
        if position > MAX_POSITIONS:
            raise UnsupportedPattern(f"more than {MAX_POSITIONS} places once its repeats are spelled out")
        table[key] = table.get(key, 0) | 1 << position
        self.follow.append(0)
        self.distance.append(0)
        return position

    def link(self, piece: _Piece, after: int, distance: int) -> None:
        """Sets what follows each position of a piece, given what follows the piece and how far a match is then."""
        if isinstance(piece, _Fork):
            for part in piece.pieces:
                self.link(part, after, distance)
        elif isinstance(piece, _Chain):
            self._link_chain(piece, after, distance)
        else:
            self.follow[piece.position] = after
            ends = self._assertion_at.get(piece.position) == "$"
            far = UNREACHABLE if ends and distance else piece.shortest + distance
            self.distance[piece.position] = min(far, UNREACHABLE)

    def _link_chain(self, chain: _Chain, after: int, distance: int) -> None:
        rest = _Chain([], 0)
        rest.pieces, rest.least = chain.pieces, chain.least
        for at in reversed(range(len(chain.pieces))):
            piece = chain.pieces[at]
            loop = piece.first if chain.loops and at == len(chain.pieces) - 1 else 0
            self.link(piece, loop | rest.first | (after if rest.nullable else 0), rest.shortest + distance)
            rest.take(at)


def graph_of(node: Node) -> Graph:
    """The positions of a tree; raises `UnsupportedPattern` if they are too many."""
    graph = Graph()
    piece = graph.add(node)
    graph.link(piece, FINAL, 0)
    graph.sum_up()
    graph.first = piece.first | (FINAL if piece.nullable else 0)
    return graph
