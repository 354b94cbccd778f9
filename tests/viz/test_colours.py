"""The colours of t, h and w, as people see them who lack one kind of cone, and on both grounds."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from skimage.color import rgb2lab

from qwen2vl_demo.viz.figure_theme import AXIS_COLOURS, MODEL_COLOURS

SHEET = Path(__file__).resolve().parents[2] / "qwen2vl_demo" / "viz" / "static" / "lens" / "lens.css"
# Machado, Oliveira and Fernandes 2009, severity 1.0: linear RGB as it looks without one kind of cone.
CONES = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def seen(colour: str, cones: str) -> np.ndarray:
    """CIELAB of a colour as it looks."""
    rgb = np.clip(np.array(CONES[cones]) @ linear(colour), 0, 1)
    return rgb2lab(np.where(rgb <= 0.0031308, rgb * 12.92, 1.055 * rgb ** (1 / 2.4) - 0.055)[None, None])[0, 0]


def contrast(one: str, other: str) -> float:
    """As WCAG defines it."""
    low, high = sorted(float(linear(c) @ (0.2126, 0.7152, 0.0722)) + 0.05 for c in (one, other))
    return high / low


def of_the_sheet(selector: str) -> list[str]:
    rule = re.search(re.escape(selector) + r" \{(.*?)\}", SHEET.read_text("utf-8"), re.S)
    assert rule is not None
    return [found[1] for axis in "thw" if (found := re.search(rf"--lens-{axis}: (#\w{{6}})", rule[1]))]


LIGHT, DARK = (
    of_the_sheet(".lens,\n.lens-theme"),
    of_the_sheet('.dark .lens,\n.dark .lens-theme,\n[data-theme="dark"] .lens'),
)


def test_the_style_sheet_has_the_colours_of_the_figures() -> None:
    assert list(AXIS_COLOURS.values()) == LIGHT and len(DARK) == 3


@pytest.mark.parametrize("cones", CONES)
@pytest.mark.parametrize("colours", [LIGHT, DARK, list(MODEL_COLOURS)], ids=["light", "dark", "models"])
def test_no_two_look_alike_without_a_kind_of_cone(colours: list[str], cones: str) -> None:
    """A distance of 2.3 in CIELAB is what is just seen; 10 and more are told apart in thin lines."""
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(seen(one, cones) - seen(other, cones)) > 10, (one, other)


def test_each_stands_out_from_its_ground() -> None:
    """3 to 1, which WCAG asks of graphics."""
    assert min(contrast(colour, "#ffffff") for colour in LIGHT) >= 3
    assert min(contrast(colour, "#191b20") for colour in DARK) >= 3
