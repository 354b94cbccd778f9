"""Drawings bent and finished otherwise keep what they show."""

import numpy as np
import pytest
from PIL import Image

from qwen2vl_demo.nano.icons import SIDE
from qwen2vl_demo.nano.variants import FINISHES, NODES, RIM, STROKE, bent, finished

INNER = NODES - 2


def gradient() -> Image.Image:
    """The red of a pixel is its column, the green its row."""
    rows, columns = np.indices((SIDE, SIDE), dtype=np.uint8)
    return Image.fromarray(np.stack([columns, rows, 0 * rows, 0 * rows + 255], 2))


def test_a_bend_of_nothing_changes_nothing():
    same = np.asarray(bent(gradient(), [0.0] * (2 * INNER**2)))
    assert np.abs(same.astype(int) - np.asarray(gradient())).max() <= 1


def test_a_node_shows_what_lay_so_far_from_it_and_the_border_stays():
    """The middle node takes what lay a tenth of a half side, 7.2 pixels, to its right and as far above it."""
    bend = np.zeros((INNER, INNER, 2))
    bend[INNER // 2, INNER // 2] = (0.1, -0.1)
    moved, before = (np.asarray(i).astype(int) for i in (bent(gradient(), bend.ravel().tolist()), gradient()))
    middle = SIDE // 2
    shift = moved[middle, middle, :2] - before[middle, middle, :2]
    assert shift == pytest.approx([0.1 * SIDE / 2, -0.1 * SIDE / 2], abs=1.5)
    quarter = SIDE // (NODES - 1)  # beyond the neighbouring nodes nothing moves
    assert np.abs(moved[:quarter] - before[:quarter]).max() <= 1
    assert np.abs(moved[:, -quarter:] - before[:, -quarter:]).max() <= 1


def striped() -> Image.Image:
    """A light plate on nothing, with one dark stroke of 10 pixels."""
    drawing = np.zeros((SIDE, SIDE, 4), np.uint8)
    drawing[20:-20, 20:-20] = (200, 200, 200, 255)
    drawing[60:70, 20:-20, :3] = 10
    return Image.fromarray(drawing)


@pytest.mark.parametrize(("finish", "height"), [("thick", 10 + 2 * STROKE), ("thin", 10 - 2 * STROKE)])
def test_strokes_grow_and_shrink_on_both_sides(finish, height):
    drawn = np.asarray(finished(striped(), finish))
    assert (drawn[:, SIDE // 2, 0][drawn[:, SIDE // 2, 3] > 0] < 100).sum() == height


def test_a_rim_is_drawn_inside_the_outline():
    drawn = np.asarray(finished(striped(), "rim"))
    column = drawn[20:-20, SIDE // 2, :3]
    assert (column[:STROKE] == RIM).all() and (column[-STROKE:] == RIM).all()
    assert (column[STROKE] == 200).all()


@pytest.mark.parametrize("finish", FINISHES)
def test_no_finish_changes_the_outline(finish):
    """And nothing of what lies beside it bleeds in: the plate's corner stays light, or is rim."""
    drawn = np.asarray(finished(striped(), finish))
    assert (drawn[..., 3] == np.asarray(striped())[..., 3]).all()
    assert tuple(drawn[20, 20, :3]) in {(200, 200, 200), RIM}


def test_a_negative_keeps_hues():
    """Of light red, (240, 80, 80), the hue stays, and light and dark change places."""
    plate = Image.new("RGBA", (SIDE, SIDE), (240, 80, 80, 255))
    assert finished(plate, "negative").getpixel((5, 5)) == (175, 15, 15, 255)
