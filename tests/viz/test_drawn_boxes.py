"""Boxes are drawn where they are, solid or in dashes, and any box on any picture."""

import numpy as np
import pytest
from PIL import Image

from qwen2vl_demo.viz.boxes import Box
from qwen2vl_demo.viz.drawn_boxes import COLOURS, DrawnBox, coloured, draw_boxes

GREY = (128, 128, 128)


def drawn(*boxes: DrawnBox, size: tuple[int, int] = (400, 200)) -> np.ndarray:
    return np.asarray(draw_boxes(Image.new("RGB", size, "grey"), boxes))


def test_boxes_are_drawn_where_they_are():
    """The edge of (250, 250)-(750, 750) of a 200x400 picture runs through x = 100; the middle stays as it was."""
    pixels = drawn(*coloured([Box("", 250, 250, 750, 750)]))
    assert pixels.shape == (200, 400, 3)
    assert tuple(pixels[140, 101]) != GREY
    assert tuple(pixels[110, 200]) == tuple(pixels[5, 20]) == GREY


def test_a_point_is_a_dot():
    pixels = drawn(*coloured([Box("", 500, 500, 500, 500)]))
    assert tuple(pixels[100, 200]) != GREY and tuple(pixels[100, 100]) == GREY


def test_boxes_of_one_name_have_one_colour():
    boxes = [Box("cat", 0, 0, 1, 1), Box("dog", 0, 0, 1, 1), Box("cat", 2, 2, 3, 3), Box("", 0, 0, 1, 1)]
    assert [one.colour for one in coloured(boxes)] == [COLOURS[0], COLOURS[1], COLOURS[0], COLOURS[3]]


def test_the_other_reading_is_drawn_in_dashes():
    """Along the upper edge of the other box, from x = 200 to 360, some pixels are coloured and some are not; along that
    of the first one, all are."""
    box, other = Box("", 50, 500, 400, 900), Box("", 500, 250, 900, 450)
    pixels = drawn(DrawnBox(box, 1, COLOURS[0], other))
    dashed = {tuple(pixel) == GREY for pixel in pixels[50, 200:360]}
    solid = {tuple(pixel) == GREY for pixel in pixels[100, 20:160]}
    assert dashed == {True, False} and solid == {False}


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (640, 480)])
@pytest.mark.parametrize("label", ["", "cat", "猫", "a very long name that does not fit in a tag at all", "x\ny"])
def test_any_box_can_be_drawn_on_any_picture(size, label):
    boxes = [Box(label, 0, 0, 1000, 1000), Box(label, 999, 999, 1000, 1000), Box(label, 500, 500, 500, 500)]
    marks = [DrawnBox(one.box, one.number, one.colour, Box("", 1, 1, 999, 999)) for one in coloured(boxes)]
    assert draw_boxes(Image.new("RGBA", size), marks).size == size
