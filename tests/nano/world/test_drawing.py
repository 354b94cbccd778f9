"""Drawn scenes: pixels, and the ground truth of the cells, agree with the scene."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from qwen2vl_demo.nano.world.clips import random_clip
from qwen2vl_demo.nano.world.documents import random_document
from qwen2vl_demo.nano.world.drawing import bounding_box, cells_in_box, draw_background, draw_scene
from qwen2vl_demo.nano.world.layout import random_scene
from qwen2vl_demo.nano.world.out_of_domain import main_colour
from qwen2vl_demo.nano.world.scene import (
    CELL_LABELS,
    COLOURS,
    LABEL_INDEX,
    STYLES,
    Background,
    Scene,
    Sign,
)
from tests.nano.scenes import WHITE, random_scenes, thing


def test_words_on_signs_carry_their_ink_and_white_none() -> None:
    sign = Sign("OPEN", "red", (220, 30, 35), 0, 40, (20, 40, 120, 70))
    for ink, expected in (("red", {1 + COLOURS.index("red")}), ("white", {0})):
        scene = Scene(112, 140, Background((240,) * 3, (240,) * 3), (), (replace(sign, colour=ink),))
        _, cells = draw_scene(scene, np.random.default_rng(0))
        words = cells.labels == LABEL_INDEX["word OPEN"]
        assert words.sum() >= 3
        assert set(cells.inks[words].tolist()) == expected
        assert not cells.inks[~words].any()


def test_clouds_are_soft_and_only_behind_scenes() -> None:
    """Neighbouring pixels differ little, pixels far apart much; documents and clips are never cloudy."""
    pixels = np.asarray(
        draw_background(Background((200,) * 3, (200,) * 3, clouds=24), 140, 196, np.random.default_rng(0))
    )
    assert np.abs(np.diff(pixels.astype(int), axis=1)).max() <= 6
    assert np.ptp(pixels, axis=(0, 1)).min() > 30
    rng = np.random.default_rng(1)
    assert any(random_scene(rng, (140, 140)).background.clouds for _ in range(60))
    assert not any(random_clip(rng, (140, 140), 4).background.clouds for _ in range(60))
    assert not any(random_document(rng, (140, 140)).background.clouds for _ in range(60))


def test_cell_labels_name_what_the_cells_show() -> None:
    """A star alone at the centre of cell (1, 2) labels that cell; every thing drawn labels at least one cell."""
    _, cells = draw_scene(Scene(112, 112, WHITE, (thing("red star", 70, 42),)), np.random.default_rng(0))
    assert CELL_LABELS[cells.labels[1, 2]] == "red star" and Counter(cells.labels.ravel().tolist())[0] >= 11
    for scene in random_scenes(60, 6):
        _, cells = draw_scene(scene, np.random.default_rng(0))
        shown = {CELL_LABELS[label] for label in cells.labels.ravel()} - {"background"}
        assert shown <= {t.name for t in scene.things}
        assert len(shown) >= len({t.name for t in scene.things}) - 1


@pytest.mark.parametrize("style", STYLES)
def test_every_style_keeps_the_outline_and_the_colour(style: str) -> None:
    square = thing("green square", 70, 70, 40, big=True)
    pixels, cells = draw_scene(Scene(140, 140, WHITE, (square,), style=style), np.random.default_rng(0))
    ys, xs = np.nonzero((pixels < 200).any(2))
    assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == pytest.approx(bounding_box(square), abs=1.1)
    assert main_colour(np.tile(pixels[ys, xs][:, None], (1, 140, 1)))[0] == "green"
    assert (pixels[70, 70] == 255).all() == (style == "hollow")
    assert CELL_LABELS[cells.labels[2, 2]] == "green square"  # a hollow one is there in its middle too


def test_a_box_has_the_cells_of_which_it_covers_a_quarter():
    """84x112 px are 3 rows of 4 cells; (20, 30)-(60, 56) fills row 1, columns 0 (8 of 28 px wide), 1 and 2 (4 px).

    26 of its 28 rows lie in row 1: shares 26*8/784 = 0.27, 0.93 and 26*4/784 = 0.13, so columns 0 and 1 count.
    """
    assert cells_in_box((20, 30, 60, 56), 84, 112) == (4, 5)


def test_a_tiny_box_has_the_cell_it_covers_most():
    assert cells_in_box((30, 30, 33, 33), 84, 84) == (4,)


def test_a_triangle_between_two_cells_has_the_one_with_more_ink_too():
    """Of the columns 3 and 4 its box takes 9 and 19 px, of the rows 0 and 1 17 and 8: half of its ink lies below."""
    assert cells_in_box((103, 11, 131, 36), 140, 140) == (3, 4, 9)
