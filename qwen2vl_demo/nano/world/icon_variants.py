"""One drawing of a noun in many shapes and colours, so that the noun is learnt and not the drawing.

Contract: `as_icon` gives a thing a drawing and how it is changed (`Thing.warp`, `Thing.tint`); draw.py draws it so.
What is changed keeps its name: a cat turned and in green is a cat.
"""

from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.scene import Thing

Matrix = tuple[tuple[float, float, float], ...]  # three rows, applied to RGB


def as_icon(rng: np.random.Generator, thing: Thing) -> Thing:
    """The thing with one of the drawings of its noun, turned, stretched, slanted, mirrored and in other colours now and
    then, and in any colour where it has only one."""
    drawings = icons.pictures(thing.shape)
    index = int(rng.integers(len(drawings)))
    ys, xs = np.nonzero(drawings[index, :, :, 3] > 40)
    ink = (np.stack([xs, ys]) + 0.5) / (icons.SIDE / 2) - 1  # in half sides around the middle
    turn = np.radians(rng.uniform(-16, 16)) if rng.random() < 0.5 else 0.0
    stretch = float(np.exp(rng.uniform(-0.17, 0.17))) if rng.random() < 0.5 else 1.0
    mirror = -1.0 if rng.random() < 0.4 else 1.0
    slant = float(rng.uniform(-0.25, 0.25)) if rng.random() < 0.3 else 0.0
    warp, spread = warped(ink, turn, stretch, mirror, slant)
    colours = drawings[index, ys, xs, :3].reshape(-1, 3)
    tint: Matrix = ()
    if np.ptp(colours, axis=0).max() < 8:
        tint = repainted(colours[0], random_ink(rng)) if rng.random() < 0.8 else ()
    elif rng.random() < 0.5:
        tint = random_tint(rng)
    return replace(thing, angle=0.0, icon=index, spread=spread, warp=warp, tint=tint)


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
    """A (3, 3) matrix on RGB: colours turned by up to 34 degrees, paler or stronger, darker or lighter."""
    angle, strength, light = rng.uniform(-0.6, 0.6), rng.uniform(0.2, 1.4), rng.uniform(0.8, 1.1)
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
