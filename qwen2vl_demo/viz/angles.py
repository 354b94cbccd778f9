"""By how much two tokens are turned apart on every pair of a head, as hands of clocks: an SVG out of two positions.

Beside `viz/bands.py`, which says the same in degrees. Pure; colours are the style sheet's --lens-t, -h and -w.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from qwen2vl_demo.viz.bands import Rope, angle_words, turned, turned_plain
from qwen2vl_demo.viz.figure_theme import AXES, AXIS_COLOURS, OTHER

DIAL, DIALS = 40, 12  # units of the drawing a dial, and dials in a row


def dials(rope: Rope, first: Sequence[int], second: Sequence[int], plain: int) -> str:
    """The same as hands of clocks: an SVG with one dial a pair, in rows for t, h and w.

    The second token's hand is coloured, the first one's stands upright; the thin grey hand is that of 1-D positions.
    Colours are the style sheet's --lens-t, -h and -w.
    """
    angles, flat = turned(rope, first, second), turned_plain(rope, plain)
    shapes, row, start = [], 0, 0
    for axis, count in zip(AXES, rope.sections, strict=True):
        for index in range(count):
            pair = start + index
            x, y = DIAL * (index % DIALS + 1.2), DIAL * (row + index // DIALS + 0.5)
            shapes.append(_dial(axis, pair, x, y, float(angles[pair]), float(flat[pair])))
        if count:
            place = f'x="{DIAL * 0.3:.0f}" y="{DIAL * (row + 0.5) + 5:.0f}"'
            shapes.append(f'<text {place} style="fill:var(--lens-{axis},{AXIS_COLOURS[axis]})">{axis}</text>')
        row, start = row + math.ceil(count / DIALS), start + count
    label = escape(angle_words(rope, first, second, plain), quote=True)
    box = f"0 0 {DIAL * (DIALS + 0.7):.0f} {DIAL * row}"
    return f'<svg class="bands-dials" viewBox="{box}" role="img" aria-label="{label}">{"".join(shapes)}</svg>'


def _dial(axis: str, pair: int, x: float, y: float, angle: float, flat: float) -> str:
    """One clock; 0 is upright and positive turns clockwise."""
    radius = DIAL * 0.42
    colour = f"var(--lens-{axis},{AXIS_COLOURS[axis]})"

    def hand(turn: float, length: float, style: str) -> str:
        to = f'x2="{x + length * math.sin(turn):.1f}" y2="{y - length * math.cos(turn):.1f}"'
        return f'<line x1="{x:.1f}" y1="{y:.1f}" {to} style="{style}"/>'

    degrees, plain = math.degrees(angle), math.degrees(flat)
    title = f"pair {pair} ({axis}): {degrees:,.4g}°, with 1-D positions {plain:,.4g}°"
    return (
        f"<g><title>{title}</title>"
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" style="stroke:{colour};fill:{colour};fill-opacity:.07"/>'
        f"{hand(0, radius, f'stroke:{OTHER};stroke-opacity:.35')}"
        f"{hand(flat, radius, f'stroke:{OTHER};stroke-width:1.5')}"
        f"{hand(angle, radius, f'stroke:{colour};stroke-width:3')}</g>"
    )
