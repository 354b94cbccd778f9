"""Data augmentation of icons: rotated, stretched, slanted, mirrored and recoloured drawings of a noun."""

from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.scene import Thing

Matrix = tuple[tuple[float, float, float], ...]  # three rows, applied to RGB


def as_icon(rng: np.random.Generator, thing: Thing) -> Thing:
    """The thing with a random drawing of its noun and a random augmentation (`Thing.warp`, `Thing.tint`).

    A drawing of a single colour is usually repainted in any colour.
    """
    drawings = icons.drawings(thing.shape)
    index = int(rng.integers(len(drawings)))
    ys, xs = np.nonzero(drawings[index, :, :, 3] > 40)
    ink = (np.stack([xs, ys]) + 0.5) / (icons.SIDE / 2) - 1  # in half sides around the middle
    turn = np.radians(rng.uniform(-16, 16)) if rng.random() < 0.5 else 0.0
    stretch = float(np.exp(rng.uniform(-0.17, 0.17))) if rng.random() < 0.5 else 1.0
    mirror = -1.0 if rng.random() < 0.4 else 1.0
    slant = float(rng.uniform(-0.25, 0.25)) if rng.random() < 0.3 else 0.0
    warp, ink_extent = warped(ink, turn, stretch, mirror, slant)
    colours = drawings[index, ys, xs, :3].reshape(-1, 3)
    tint: Matrix = ()
    if np.ptp(colours, axis=0).max() < 8:
        tint = repainted(colours[0], random_ink(rng)) if rng.random() < 0.8 else ()
    elif rng.random() < 0.5:
        tint = random_tint(rng)
    return replace(thing, angle=0.0, icon=index, ink_extent=ink_extent, warp=warp, tint=tint)


def warped(
    ink: np.ndarray, turn: float, stretch: float, mirror: float, slant: float = 0.0
) -> tuple[tuple[float, ...], tuple[float, float]]:
    """`Thing.warp` and `Thing.ink_extent` of a drawing whose ink covers the points `ink` (2, points).

    The ink is mirrored if `mirror` is -1, made wider by `stretch`, sheared to the right by `slant` of its height and
    rotated by `turn` radians, then centred and scaled so that its longer side fills the square. The warp is () if
    nothing changes.
    """
    cos, sin = np.cos(turn), np.sin(turn)
    slanted = np.array([[1, slant], [0, 1]])
    forward = np.array([[cos, -sin], [sin, cos]]) @ slanted @ np.diag([mirror * stretch, 1 / stretch])
    moved = forward @ ink
    low, high = moved.min(1), moved.max(1)
    half, pixel = (high - low) / 2, 1 / icons.SIDE
    reach = float(half.max()) + pixel
    wide, tall = ((float(h) + pixel) / reach for h in half)
    if turn == slant == 0 and stretch == mirror == 1:
        return (), (wide * reach, tall * reach)
    inverse = np.linalg.inv(forward)
    (a, b), (d, e) = (inverse * reach).tolist()
    c, f = (inverse @ ((low + high) / 2)).tolist()
    return (a, b, c, d, e, f), (wide, tall)


def random_tint(rng: np.random.Generator) -> Matrix:
    """A (3, 3) matrix on RGB: hue rotated by up to 34 degrees, saturation and brightness changed."""
    angle, strength, light = rng.uniform(-0.6, 0.6), rng.uniform(0.2, 1.4), rng.uniform(0.8, 1.1)
    grey = np.full((3, 3), 1 / 3)
    # Rodrigues' rotation about the grey axis, which leaves brightness unchanged.
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    rotation = np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * cross
    first, second, third = ((float(r), float(g), float(b)) for r, g, b in light * (grey + strength * rotation))
    return first, second, third


def random_ink(rng: np.random.Generator) -> np.ndarray:
    """An RGB colour (3,) of any hue that is visible on light and on dark backgrounds."""
    hue, strength, level = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 1), rng.uniform(120, 160)
    waves = np.cos(hue - np.array([0, 2, 4]) * np.pi / 3)
    return np.clip(level * (1 + 0.7 * strength * waves), 0, 255)


def repainted(old: np.ndarray, new: np.ndarray) -> Matrix:
    """The (3, 3) matrix, as of `random_tint`, that maps one RGB colour to another."""
    share = np.asarray(new, float)[:, None] / max(1.0, float(np.sum(old)))
    first, second, third = ((float(v),) * 3 for v in share[:, 0])
    return first, second, third
