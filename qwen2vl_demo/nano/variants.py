"""One drawing of a noun in many shapes and colours, so that the noun is learnt and not the drawing.

Contract: `as_icon` gives a thing a drawing and how it is changed (`Thing.finish`, `bend`, `warp` and `tint`);
`drawing_of` is that drawing in its own colours, which draw.py puts into the picture and tints. What is changed keeps
its name: a cat bent, turned and in green is a cat.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from qwen2vl_demo.nano import icons
from qwen2vl_demo.nano.scene import Thing, choose

SMOOTH = Image.Resampling.BILINEAR
NODES, BENT = 5, 0.13  # of the net that a drawing is bent with, a side; the most that one moves, in half sides
FINISHES = ("thick", "thin", "rim", "negative")
STROKE = 2  # by how many of a drawing's pixels strokes grow or shrink on either side; the width of a rim
RIM = (40, 40, 44)
Matrix = tuple[tuple[float, float, float], ...]  # three rows, applied to RGB


def as_icon(rng: np.random.Generator, thing: Thing) -> Thing:
    """The thing with one of the drawings of its noun, bent, turned, stretched, slanted, mirrored, drawn by another hand
    and in other colours now and then, and in any colour where it has only one."""
    drawings = icons.pictures(thing.shape)
    index = int(rng.integers(len(drawings)))
    bend = tuple(rng.uniform(-BENT, BENT, 2 * (NODES - 2) ** 2).tolist()) if rng.random() < 0.5 else ()
    finish = choose(rng, FINISHES) if rng.random() < 0.2 else ""
    drawn, alpha = drawings[index], Image.fromarray(drawings[index, :, :, 3])
    ys, xs = np.nonzero(np.asarray(bent(alpha, bend) if bend else alpha) > 40)
    ink = (np.stack([xs, ys]) + 0.5) / (icons.SIDE / 2) - 1  # in half sides around the middle
    turn = np.radians(rng.uniform(-16, 16)) if rng.random() < 0.5 else 0.0
    stretch = float(np.exp(rng.uniform(-0.17, 0.17))) if rng.random() < 0.5 else 1.0
    mirror = -1.0 if rng.random() < 0.4 else 1.0
    slant = float(rng.uniform(-0.25, 0.25)) if rng.random() < 0.3 else 0.0
    warp, spread = warped(ink, turn, stretch, mirror, slant)
    colours = drawn[drawn[..., 3] > 40][:, :3]
    tint: Matrix = ()
    if np.ptp(colours, axis=0).max() < 8:
        tint = repainted(colours[0], random_ink(rng)) if rng.random() < 0.8 else ()
    elif rng.random() < 0.5:
        tint = random_tint(rng)
    return replace(thing, angle=0.0, icon=index, spread=spread, finish=finish, bend=bend, warp=warp, tint=tint)


def drawing_of(thing: Thing) -> Image.Image:
    """The drawing of an icon as `as_icon` changed it but for its tint, RGBA of icons.SIDE pixels a side."""
    drawing = Image.fromarray(icons.pictures(thing.shape)[thing.icon])
    if thing.finish:
        drawing = finished(drawing, thing.finish)
    if thing.bend:
        drawing = bent(drawing, thing.bend)
    if thing.warp:
        drawing = drawing.transform(drawing.size, Image.Transform.AFFINE, _in_pixels(thing.warp), SMOOTH)
    return drawing


def _in_pixels(warp: Sequence[float]) -> tuple[float, ...]:
    """A map between points in half sides around the middle as one between the pixels of two drawings."""
    (a, b, c), (d, e, f), half = warp[:3], warp[3:], icons.SIDE / 2
    return a, b, half * (1 + c - a - b), d, e, half * (1 + f - d - e)


def bent(drawing: Image.Image, bend: Sequence[float]) -> Image.Image:
    """A drawing on a rubber sheet whose border is held: each inner node of a net of `NODES` a side shows what lay
    `bend` half sides from it, (x, y) a node in reading order; between nodes the shift is bilinear."""
    side = drawing.width
    at = np.linspace(0, side, NODES)
    source = np.stack(np.meshgrid(at, at), 2)  # (row, column, xy)
    source[1:-1, 1:-1] += np.reshape(bend, (NODES - 2, NODES - 2, 2)) * side / 2
    edges = at.round().astype(int)
    net = [
        (
            (edges[c], edges[r], edges[c + 1], edges[r + 1]),
            tuple(np.concatenate([source[r, c], source[r + 1, c], source[r + 1, c + 1], source[r, c + 1]])),
        )
        for r in range(NODES - 1)
        for c in range(NODES - 1)
    ]
    return drawing.transform(drawing.size, Image.Transform.MESH, net, SMOOTH)


def finished(drawing: Image.Image, finish: str) -> Image.Image:
    """A drawing as another hand would finish it in the same outline: dark strokes thicker or thinner, a dark rim, or
    within one light and dark exchanged."""
    colours, alpha = np.split(np.asarray(drawing), (3,), axis=2)
    inside = alpha > 0
    if finish == "thick":
        colours = _nearby(np.minimum, np.where(inside, colours, 255))  # what lies beside the ink must not grow into it
    elif finish == "thin":
        colours = _nearby(np.maximum, np.where(inside, colours, 0))
    elif finish == "negative":
        opposite = colours.max(2, keepdims=True) + colours.min(2, keepdims=True).astype(int) - colours
        colours = 255 - opposite  # hues back where they were: only light and dark have changed places
    if finish in ("rim", "negative"):  # which may be white on white
        colours = np.where(_nearby(np.minimum, alpha) > 128, colours, RIM)
    return Image.fromarray(np.concatenate([colours, alpha], 2).astype(np.uint8))


def _nearby(which: np.ufunc, values: np.ndarray) -> np.ndarray:
    """The least (np.minimum) or the greatest (np.maximum) of the values within `STROKE` pixels, (H, W, channels)."""
    for axis in (0, 1):
        for _ in range(STROKE):
            values = np.moveaxis(values, axis, 0)
            wide = np.concatenate([values[:1], values, values[-1:]])
            values = np.moveaxis(which(which(wide[:-2], wide[1:-1]), wide[2:]), 0, axis)
    return values


def warped(
    ink: np.ndarray, turn: float, stretch: float, mirror: float, slant: float = 0.0
) -> tuple[tuple[float, ...], tuple[float, float]]:
    """A drawing's ink (2, points), mirrored if `mirror` is -1, made wider by `stretch`, pushed to the right by `slant`
    of its height and turned by radians, then centred again with its longer side filling the square: `Thing.warp` and
    `Thing.spread`. No warp if nothing changes.
    """
    cos, sin = np.cos(turn), np.sin(turn)
    slanted = np.array([[1, slant], [0, 1]])
    forward = np.array([[cos, -sin], [sin, cos]]) @ slanted @ np.diag([mirror * stretch, 1 / stretch])
    there = forward @ ink
    low, high = there.min(1), there.max(1)
    half, pixel = (high - low) / 2, 1 / icons.SIDE
    reach = float(half.max()) + pixel
    wide, tall = ((float(h) + pixel) / reach for h in half)
    if turn == slant == 0 and stretch == mirror == 1:
        return (), (wide * reach, tall * reach)
    back = np.linalg.inv(forward)
    (a, b), (d, e) = (back * reach).tolist()
    c, f = (back @ ((low + high) / 2)).tolist()
    return (a, b, c, d, e, f), (wide, tall)


def random_tint(rng: np.random.Generator) -> Matrix:
    """A (3, 3) matrix on RGB: colours turned by up to 34 degrees, paler or stronger, darker or lighter; or, one in
    four, turned by any angle, down to grey and to nearly black. Most sets agree on an orange cat, and cats do not."""
    angle, strength, light = rng.uniform(-0.6, 0.6), rng.uniform(0.2, 1.4), rng.uniform(0.8, 1.1)
    if rng.random() < 0.25:
        angle, strength, light = rng.uniform(-np.pi, np.pi), rng.uniform(0, 1.2), rng.uniform(0.4, 1.1)
    grey = np.full((3, 3), 1 / 3)
    # Rodrigues' rotation about the grey axis; what lies along the axis is brightness and stays.
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turned = np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * cross
    first, second, third = ((float(r), float(g), float(b)) for r, g, b in light * (grey + strength * turned))
    return first, second, third


def random_ink(rng: np.random.Generator) -> np.ndarray:
    """An RGB colour of any hue that is seen on light and on dark, (3,)."""
    hue, strength, level = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 1), rng.uniform(120, 160)
    waves = np.cos(hue - np.array([0, 2, 4]) * np.pi / 3)
    return np.clip(level * (1 + 0.7 * strength * waves), 0, 255)


def repainted(old: np.ndarray, new: np.ndarray) -> Matrix:
    """The matrix (3, 3), as in `random_tint`, that turns one RGB colour into another."""
    share = np.asarray(new, float)[:, None] / max(1.0, float(np.sum(old)))
    first, second, third = ((float(v),) * 3 for v in share[:, 0])
    return first, second, third
