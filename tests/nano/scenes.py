"""Scenes for the tests of nano: things by name, and random scenes."""

import numpy as np

from qwen2vl_demo.nano.world.layout import random_scene, random_size
from qwen2vl_demo.nano.world.scene import (
    Background,
    Scene,
    Thing,
)

WHITE = Background((255, 255, 255), (255, 255, 255))


def thing(name: str, x: float, y: float, radius: float = 16, big: bool = False) -> Thing:
    """A thing by its colour and shape, like "red star"."""
    colour, shape = name.split()
    rgb = {"red": (220, 30, 35), "blue": (40, 90, 215), "green": (40, 160, 60)}[colour]
    return Thing(shape, colour, rgb, x, y, radius, 0.0, big)


def random_scenes(count: int, seed: int = 0) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [random_scene(rng, random_size(rng)) for _ in range(count)]
