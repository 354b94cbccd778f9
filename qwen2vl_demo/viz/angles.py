"""The angle between two tokens on every frequency pair of a head, drawn as clocks: an SVG.

`viz/bands.py` shows the same in degrees. Colours are the style sheet's --lens-t, --lens-h and --lens-w.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from qwen2vl_demo.viz.bands import Rope, angle_words, rotated, rotated_1d
from qwen2vl_demo.viz.figure_theme import AXES, AXIS_COLOURS, OTHER

CLOCK, CLOCKS_PER_ROW = 40, 12  # side of a clock in units of the drawing; clocks in a row


def angle_clocks_svg(rope: Rope, first: Sequence[int], second: Sequence[int], plain: int) -> str:
    """An SVG with one clock for each pair, in rows for t, h and w.

    `first` and `second` are positions (t, h, w), `plain` is the distance in tokens. The first token's hand points up,
    the second's is coloured; the thin grey hand is where plain 1-D positions would put the second.
    """
    angles, flat = rotated(rope, first, second), rotated_1d(rope, plain)
    shapes, row, start = [], 0, 0
    for axis, count in zip(AXES, rope.sections, strict=True):
        for index in range(count):
            pair = start + index
            x, y = CLOCK * (index % CLOCKS_PER_ROW + 1.2), CLOCK * (row + index // CLOCKS_PER_ROW + 0.5)
            shapes.append(_clock(axis, pair, x, y, float(angles[pair]), float(flat[pair])))
        if count:
            place = f'x="{CLOCK * 0.3:.0f}" y="{CLOCK * (row + 0.5) + 5:.0f}"'
            shapes.append(f'<text {place} style="fill:var(--lens-{axis},{AXIS_COLOURS[axis]})">{axis}</text>')
        row, start = row + math.ceil(count / CLOCKS_PER_ROW), start + count
    label = escape(angle_words(rope, first, second, plain), quote=True)
    box = f"0 0 {CLOCK * (CLOCKS_PER_ROW + 0.7):.0f} {CLOCK * row}"
    return f'<svg class="bands-angles" viewBox="{box}" role="img" aria-label="{label}">{"".join(shapes)}</svg>'


def _clock(axis: str, pair: int, x: float, y: float, angle: float, flat: float) -> str:
    """One clock. Angles in radians, clockwise from the top."""
    radius = CLOCK * 0.42
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
