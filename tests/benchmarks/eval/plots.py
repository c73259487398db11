"""Curves and points as SVG, written without any library."""

from collections.abc import Sequence
from math import floor, log10
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 60, 200, 40, 50
"""In pixels: the whole, and the margins around the axes."""
COLOURS = ("#4a78b5", "#c0392b", "#3b8f5a", "#8e5ea2", "#d68910", "#5d6d7e", "#16a0a0", "#a04000")
TICKS = 5


class Series(NamedTuple):
    """Points that belong together: a line joins them."""

    name: str
    points: Sequence[tuple[float, float]]


def plot(title: str, across: str, up: str, series: Sequence[Series]) -> str:
    """Both axes start at 0 and hold all points. Pure."""
    every = [point for each in series for point in each.points]
    most_across = rounded_up(max((x for x, _ in every), default=0.0) or 1.0)
    most_up = rounded_up(max((y for _, y in every), default=0.0) or 1.0)

    def at(point: tuple[float, float]) -> tuple[float, float]:
        across_share, up_share = point[0] / most_across, point[1] / most_up
        return LEFT + across_share * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up_share * (HEIGHT - TOP - BOTTOM)

    lines = [_text(0, 18, title, 'font-weight="bold"')]
    lines += [_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, across, 'text-anchor="middle"'), _text(0, TOP - 8, up)]
    for tick in range(TICKS + 1):
        share = tick / TICKS
        x, y = at((share * most_across, share * most_up))
        lines.append(_line([(x, HEIGHT - BOTTOM), (x, HEIGHT - BOTTOM + 4)], "#888"))
        lines.append(_line([(LEFT, y), (WIDTH - RIGHT, y)], "#ddd"))
        lines.append(_text(x, HEIGHT - BOTTOM + 18, f"{share * most_across:.6g}", 'text-anchor="middle"'))
        lines.append(_text(LEFT - 6, y + 4, f"{share * most_up:.6g}", 'text-anchor="end"'))
    for number, each in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        places = [at(point) for point in each.points]
        lines.append(_line(places, colour))
        lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in places]
        lines.append(_text(WIDTH - RIGHT + 14, TOP + 16 * number, each.name, f'fill="{colour}"'))
    frame = f'xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif"'
    paper = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f'<svg {frame} font-size="11">', paper, *lines, "</svg>", ""])


def rounded_up(most: float) -> float:
    """The least end of an axis, at or above `most`, whose ticks are 1, 2 or 5 of some power of ten apart. Pure."""
    power = 10.0 ** floor(log10(most / TICKS) + 1e-9)
    return next(end for end in (TICKS * power * step for step in (1, 2, 5, 10)) if end >= most * (1 - 1e-9))


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}"/>'
