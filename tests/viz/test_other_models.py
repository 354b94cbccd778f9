"""The same picture elsewhere: tokens, sizes and losses against numbers worked out by hand and against a reference."""

import numpy as np
import pytest
from transformers.image_processing_utils import select_best_resolution

from qwen2vl_demo.geometry import merged_tokens, smart_resize
from qwen2vl_demo.viz.other_models import (
    RULES,
    compare_words,
    fit,
    growth_figure,
    growth_words,
    percent,
    resampled,
    strongest_edges,
    tile_canvas,
    usage,
    usages,
)

FIXED224, FIXED336, TILES, QWEN = RULES


def test_a_wide_picture_by_every_rule():
    """800x1600: fitted into 336 it is 168x336, half of the square: 12 of 24 patch rows are padding.
    As tiles, 1x2 of them fit it exactly, with the overview 3 * 576 tokens. Qwen2-VL makes 812x1596 of it: 29 * 57."""
    small, square, tiled, ours = usages((800, 1600))
    assert (small.tokens, small.size, small.padding_tokens) == (256, (112, 224), 8 * 16)
    assert (square.tokens, square.size, square.padding_tokens) == (576, (168, 336), 12 * 24)
    assert (tiled.tokens, tiled.size, tiled.canvas) == (3 * 576, (336, 672), (336, 672))
    assert tiled.padding_tokens == 12 * 24  # the overview's
    assert (ours.tokens, ours.size) == (29 * 57, (812, 1596))
    assert square.kept == pytest.approx(168 * 336 / (800 * 1600))
    assert ours.kept == 1 and ours.enlarged


@pytest.mark.parametrize("seed", range(40))
def test_tiles_are_chosen_as_the_reference_chooses_them(seed):
    size = tuple(int(n) for n in np.random.default_rng(seed).integers(20, 4000, 2))
    pinpoints = [(336, 672), (672, 336), (672, 672), (336, 1008), (1008, 336)]
    assert tile_canvas(size) == tuple(select_best_resolution(size, pinpoints))


def test_padding_counts_only_patches_without_a_pixel_of_the_picture():
    """100x336 in the middle of 336: it begins at row 118, so patch rows 8 (from 112) to 15 (to 224) see it: 8 of 24."""
    assert usage((100, 336), FIXED336).padding_tokens == (24 - 8) * 24
    assert usage((336, 336), FIXED336).padding_tokens == 0


def test_qwen_is_what_really_ran_where_that_is_known():
    """With a budget of 256 tokens the picture became 336x560 and not what the default budget would make of it."""
    size = smart_resize(1080, 1920, max_pixels=256 * 784)
    ours = usage((1080, 1920), QWEN, qwen=size)
    assert ours.size == size and ours.tokens == merged_tokens((1, size[0] // 14, size[1] // 14))
    assert ours.kept == pytest.approx(size[0] * size[1] / (1080 * 1920)) and not ours.enlarged


@pytest.mark.parametrize("original", [(1, 199), (199, 1), (1, 1), (5000, 30), (30, 5000), (6000, 8000)])
def test_any_shape_fits(original):
    for used in usages(original, smart_resize(*original) if max(original) < 200 * min(original) else (28, 28)):
        assert min(used.size) >= 1
        assert used.size[0] <= used.canvas[0] and used.size[1] <= used.canvas[1]
        assert 0 <= used.padding_tokens < used.tokens and 0 < used.kept <= 1
    assert growth_figure(original, (28, 28), 3136, 12_845_056).data


def test_a_picture_keeps_its_shape_in_a_box():
    assert fit((600, 900), (336, 336)) == (224, 336)
    assert fit((10, 10), (336, 336)) == (336, 336)  # enlarged


def test_pixels_are_really_resampled():
    """Stripes two pixels wide turn grey at a quarter of the size, and stay at the full size."""
    stripes = np.zeros((448, 448, 3), np.uint8)
    stripes[:, ::4], stripes[:, 1::4] = 255, 255
    small, _, _, ours = usages((448, 448))
    seen = resampled(stripes, small)
    assert seen.shape == (224, 224, 3)
    inner = resampled(stripes, usage((448, 448), FIXED224))[8:-8, 8:-8].astype(int)
    assert inner.std() < stripes.std()
    assert resampled(stripes, ours) is stripes
    tiny = resampled(np.repeat(stripes[:, :, :], 4, axis=0), usage((1792, 448), FIXED224))
    assert tiny.shape == (224, 56, 3) and tiny[:, 8:-8].std() < 20


def test_the_busiest_place_is_found():
    picture = np.full((600, 900, 3), 200, np.uint8)
    rng = np.random.default_rng(0)
    picture[420:470, 180:260] = rng.integers(0, 255, (50, 80, 3))
    x, y = strongest_edges(picture)
    assert abs(x - 220 / 900) < 0.1 and abs(y - 445 / 600) < 0.1


def test_tokens_grow_with_pixels_only_in_qwen_and_within_its_budget():
    figure = growth_figure((900, 1200), (896, 1204), 16 * 784, 1280 * 784)
    lines = {trace.name: np.array(trace.y) for trace in figure.data}
    assert set(lines["224x224"]) == {256} and set(lines["336x336"]) == {576}
    assert set(lines["Tiles of 336"]) <= {3 * 576, 4 * 576, 5 * 576}
    assert lines["Qwen2-VL"].min() >= 16 and lines["Qwen2-VL"].max() <= 1280
    steps = np.diff(lines["Qwen2-VL"])
    assert (steps >= -60).all() and (steps < 0).sum() <= 1  # once: where the budget begins to round down
    assert lines["Qwen2-VL"][-1] > 1200
    (mark,) = [trace for trace in figure.data if trace.mode == "markers"]
    assert (mark.x[0], mark.y[0]) == (1.08, 32 * 43)
    assert len(figure.to_json()) < 40_000


def test_words():
    assert [percent(s) for s in (1, 0.9981, 0.31, 0.0943, 0.012, 0.0042, 0.00001)] == [
        "100 %",
        "over 99 %",
        "31 %",
        "9.4 %",
        "1.2 %",
        "0.4 %",
        "less than 0.1 %",
    ]
    words = compare_words((800, 1600), usages((800, 1600)))
    assert words.startswith("Qwen2-VL spends 1,653 tokens on this picture and keeps all of its pixels.")
    assert words.endswith("at 224x224, 4.4 % at 336x336, 18 % in tiles.")  # 168x336 and 336x672 of 800x1600
    size = smart_resize(800, 1600, max_pixels=256 * 784)
    words = compare_words((800, 1600), usages((800, 1600), size), 256 * 784)
    assert f"{size[0] * size[1] // 784} tokens on this picture within the budget of 256 and keeps 15 %" in words
    assert "budget it would spend 1,653 and keep all of its pixels" in words
    assert "up to the budget of 1,280" in growth_words((800, 1600), (812, 1596), 1280 * 784)
