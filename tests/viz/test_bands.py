"""The bands: angles against the model's own rotations, wavelengths and sentences against numbers worked out by hand."""

import math
import re

import numpy as np
import pytest
import torch

from qwen2vl_demo.geometry import VisionSpan, mrope_position_ids, patch_coordinates
from qwen2vl_demo.model.rope import MRoPE, rotate, vision_angles
from qwen2vl_demo.viz.angles import angle_clocks_svg
from qwen2vl_demo.viz.bands import (
    Rope,
    angle_figure,
    angle_words,
    mean_cosine,
    rotated,
    rotated_1d,
    vision_figure,
    vision_words,
    wave_figure,
    wave_words,
    wavelengths,
)
from qwen2vl_demo.viz.figure_theme import AXIS_COLOURS
from qwen2vl_demo.yarn import Yarn

RELEASED = Rope()
SMALL = Rope((8, 12, 12), 50.0, 64)
YARN = Rope(yarn=Yarn(factor=4, original_context=32768, attention_factor=1.1386294361119891))
# two words, a picture of 4x6 merged tokens, a word
POSITIONS, _ = mrope_position_ids(2 + 24 + 1, [VisionSpan(2, (1, 8, 12))])


@pytest.mark.parametrize("rope", [RELEASED, SMALL, YARN], ids=["released", "small", "yarn"])
@pytest.mark.parametrize(("first", "second"), [(2, 25), (0, 26), (7, 8)])
def test_angles_are_those_by_which_the_model_turns_its_heads(rope, first, second):
    """A vector of ones turned to both places: the angle between its pairs is what the figure says, modulo a turn."""
    mrope = MRoPE(2 * rope.pairs, rope.theta, rope.sections, rope.yarn)
    angles = mrope(torch.from_numpy(POSITIONS[:, [first, second]])[:, None])[0]  # (2, P)
    x = rotate(torch.ones(2, 2 * rope.pairs), angles.cos(), angles.sin()).double()
    places = torch.complex(x[:, : rope.pairs], x[:, rope.pairs :])
    between = (places[1] / places[0]).numpy()
    expected = np.exp(1j * rotated(rope, POSITIONS[:, first], POSITIONS[:, second]))
    np.testing.assert_allclose(between, expected, atol=1e-5)


def test_what_a_query_keeps_is_what_the_model_s_product_keeps():
    mrope = MRoPE(64, SMALL.theta, SMALL.sections)
    angles = mrope(torch.from_numpy(POSITIONS[:, [3, 20]])[:, None])[0]
    x = rotate(torch.ones(2, 64), angles.cos(), angles.sin())
    kept = float(x[0] @ x[1] / 64)
    assert mean_cosine(rotated(SMALL, POSITIONS[:, 3], POSITIONS[:, 20])) == pytest.approx(kept, abs=1e-6)


def test_equal_positions_on_three_axes_are_plain_positions():
    np.testing.assert_allclose(rotated(RELEASED, (5, 5, 5), (17, 17, 17)), rotated_1d(RELEASED, 12))


def test_the_vit_s_frequencies_are_those_of_the_model():
    coordinates = torch.from_numpy(patch_coordinates((1, 4, 4)))
    angles = vision_angles(coordinates, 80).double().numpy()
    expected = np.concatenate([coordinates[:, [axis]].numpy() * RELEASED.vision_frequencies for axis in (0, 1)], axis=1)
    np.testing.assert_allclose(angles, expected, rtol=1e-6)


def test_wavelengths_by_hand():
    """Pair i of 64 turns by a million ** (-i / 64) radians: pair 0 by 1, pair 16 by 10 ** -1.5, pair 32 by 10 ** -3."""
    lengths = wavelengths(RELEASED.frequencies)
    assert lengths[0] == pytest.approx(2 * math.pi)
    assert lengths[16] == pytest.approx(2 * math.pi * 10**1.5)
    assert lengths[32] == pytest.approx(2 * math.pi * 1000)
    vision = wavelengths(RELEASED.vision_frequencies)
    assert len(vision) == 20 and vision[10] == pytest.approx(2 * math.pi * 100)


def test_the_figure_gives_each_axis_its_pairs_in_its_colour():
    points = [t for t in wave_figure(RELEASED, 214, (1, 9, 11)).data if t.mode == "markers"]
    assert [list(t.x) for t in points] == [list(range(16)), list(range(16, 40)), list(range(40, 64))]
    assert [t.marker.color for t in points] == list(AXIS_COLOURS.values())
    np.testing.assert_allclose(np.concatenate([t.y for t in points]), wavelengths(RELEASED.frequencies))


def test_yarn_is_drawn_beside_what_was_before_and_told():
    """By the formula of the paper, pair i makes 32768 / (2 pi 10 ** (6 i / 64)) turns: 32 at i = 23.6, 1 at i = 39.7.
    So pairs to 23 are kept and those from 40 on slowed; the score's scale is 0.1 ln 4 + 1."""
    before, *points = wave_figure(YARN).data
    assert before.name == "before YaRN"
    ratio = np.concatenate([t.y for t in points]) / before.y
    np.testing.assert_allclose(ratio[:24], 1)
    np.testing.assert_allclose(ratio[40:], 4)
    assert (np.diff(ratio[23:41]) > 0).all()
    words = wave_words(YARN)
    assert "32,768 positions to 131,072: 24 pairs turn as they were trained, 24 turn 4 times slower" in words
    assert "16 lie between" in words and "multiplied by 1.14" in words
    assert "YaRN" not in wave_words(RELEASED)


def test_the_figure_of_angles_has_whole_turns_and_marks_what_stands_still():
    figure = angle_figure(RELEASED, (15, 15, 15), (15, 17, 20), 27)
    plain, t, h, w = [trace for trace in figure.data if trace.customdata is not None]
    assert plain.customdata[0][0] == pytest.approx(math.degrees(27)) and plain.customdata[0][0] > 360
    assert set(t.marker.symbol) == {"circle-open"} and not t.customdata[:, 0].any()
    assert h.y[0] == pytest.approx(math.degrees(2 * 10**-1.5)) and "-open" not in h.marker.symbol[0]
    assert w.customdata[0][0] == pytest.approx(math.degrees(5 * 10 ** (-6 * 40 / 64)))


def test_every_pair_has_a_dial_with_its_hand():
    """On pair 8 of the small rope, h by 50 ** (-8 / 32) a row: two rows down is that many radians clockwise."""
    drawn = angle_clocks_svg(SMALL, (0, 0, 0), (0, 2, 0), 14)
    assert drawn.count("<circle") == 32
    degrees = re.search(r"pair 8 \(h\): ([\d.]+)°", drawn)
    assert degrees and float(degrees[1]) == pytest.approx(math.degrees(2 * 50 ** (-8 / 32)), rel=1e-3)
    assert "pair 20 (w): 0°" in drawn


def test_sentences_say_this_prompt_s_numbers():
    """6 h pairs of 24 have a wavelength below 500: 2 pi * 10 ** (6 i / 64) < 500 for i <= 20; none of w's."""
    words = wave_words(RELEASED, 500, (1, 9, 11))
    assert "16 turn with t, 24 turn with h, 24 turn with w" in words
    assert "takes 500 positions: 21 of the pairs complete a turn" in words
    assert (
        "the fastest h pair turns by 14.5° over its 9 rows and the fastest w pair turns by 0.102° over its 11 columns"
        in words
    )
    assert "Across the picture," in words and "Across the clip," in wave_words(RELEASED, 500, (3, 9, 11))
    assert "fastest h pair" not in wave_words(Rope((2, 0, 2), 10.0, 16), 50, (3, 9, 11))  # it has none
    apart = angle_words(RELEASED, (15, 15, 15), (15, 17, 20), 27)
    assert "The tokens differ by 0 in t, 2 in h and 5 in w" in apart and "3.62° on the fastest h pair" in apart
    assert "alike on every pair" in angle_words(RELEASED, (1, 1, 1), (1, 1, 1), 3)
    assert "18 rows and 22 columns" in vision_words(RELEASED, (18, 22))


@pytest.mark.parametrize("rope", [RELEASED, SMALL, YARN, Rope((2, 0, 2), 10.0, 16)])
def test_every_figure_is_small_and_stands_on_any_ground(rope):
    figures = [
        wave_figure(rope),
        wave_figure(rope, 30_000, (384, 100, 100)),
        vision_figure(rope, (112, 112)),
        angle_figure(rope, (0, 0, 0), (0, 0, 0), 0),
        angle_figure(rope, (0, 0, 0), (9, 30_000, 30_000), 30_000),
    ]
    for figure in figures:
        assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
        assert len(figure.to_json()) < 20_000
