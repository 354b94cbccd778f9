"""Golden values of the released processor, hand-worked positions, and properties that hold for every size."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qwen2vl_demo import geometry as g
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import VisionSpan

sides = st.integers(1, 9000)


@pytest.mark.parametrize(
    ("size", "resized", "tokens"),
    [
        ((224, 224), (224, 224), 64),
        ((720, 1280), (728, 1288), 1196),
        ((1024, 1024), (1036, 1036), 1369),
        ((1080, 1920), (1092, 1932), 2691),
        ((2160, 3840), (2156, 3836), 10549),
        ((4320, 7680), (2688, 4760), 16320),  # capped by max_pixels
        ((28, 28), (56, 56), 4),  # lifted by min_pixels
        ((10, 10), (56, 56), 4),
        ((1, 200), (28, 812), 29),
        ((42, 70), (56, 56), 4),  # 1.5 -> 2 and 2.5 -> 2: half to even
        ((14, 500), (28, 336), 12),  # a side of half a factor rounds to 0, as in transformers
    ],
)
def test_smart_resize_gives_the_released_processors_sizes(size, resized, tokens):
    assert g.smart_resize(*size) == resized
    assert g.merged_tokens(g.grid_thw(1, *resized)) == tokens


@pytest.mark.parametrize(
    ("size", "most_tokens", "resized"),
    [
        ((1080, 1920), 1280, (728, 1316)),
        ((3000, 4000), 1280, (840, 1148)),
        ((3000, 4000), 16384, (2996, 4004)),
    ],
)
def test_smart_resize_obeys_the_budget_it_is_given(size, most_tokens, resized):
    assert g.smart_resize(*size, max_pixels=most_tokens * 28 * 28) == resized


@given(sides, sides, st.integers(1, 64), st.integers(64, 4096))
def test_resized_sides_are_multiples_of_28_within_the_budget(height, width, low, high):
    assume(max(height, width) <= 200 * min(height, width))
    h, w = g.smart_resize(height, width, min_pixels=low * 784, max_pixels=high * 784)
    assert h % 28 == w % 28 == 0
    assert min(h, w) >= 28
    rounded = round(height / 28) * round(width / 28)
    if rounded > high:  # shrinking rounds down: within the budget, but for a strip of one token's height
        assert h * w <= high * 784 or min(h, w) == 28
    elif rounded < low:  # growing rounds up: never below the lower bound, perhaps above the upper one
        assert h * w >= low * 784
    else:
        assert low * 784 <= h * w <= high * 784


@given(sides, sides)
def test_a_picture_and_its_transpose_resize_alike(height, width):
    assume(max(height, width) <= 200 * min(height, width))
    assert g.smart_resize(height, width) == g.smart_resize(width, height)[::-1]


def test_an_aspect_ratio_of_200_is_the_last_that_is_taken():
    assert g.smart_resize(1, 200)
    with pytest.raises(UserError, match="more than 200 times"):
        g.smart_resize(1, 201)


def test_an_impossible_budget_names_both_numbers():
    with pytest.raises(UserError, match=r"min_pixels is 10000 and max_pixels is 5000"):
        g.smart_resize(100, 100, min_pixels=10_000, max_pixels=5_000)


def test_block_order_of_a_4x4_grid_by_hand():
    assert g.block_order(4, 4).tolist() == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]


@given(st.integers(1, 20), st.integers(1, 20))
def test_block_order_and_raster_order_undo_each_other(rows, columns):
    order, back = g.block_order(2 * rows, 2 * columns), g.raster_order(2 * rows, 2 * columns)
    assert (order[back] == np.arange(4 * rows * columns)).all()
    assert (back[order] == np.arange(4 * rows * columns)).all()


@given(st.integers(1, 4), st.integers(1, 8), st.integers(1, 8))
def test_four_patches_of_block_order_are_one_cell_of_the_merged_grid_in_raster_order(t, rows, columns):
    coordinates = g.patch_coordinates((t, 2 * rows, 2 * columns)).reshape(t, rows * columns, 4, 2)
    cells = coordinates // 2
    expected = np.array(list(itertools.product(range(rows), range(columns))))
    assert (cells == expected[None, :, None]).all()
    assert (coordinates[..., 0] % 2 == [0, 0, 1, 1]).all()
    assert (coordinates[..., 1] % 2 == [0, 1, 0, 1]).all()


def test_every_temporal_slice_is_a_segment_of_its_own():
    assert g.segment_lengths([(1, 4, 6), (3, 2, 2)]) == [24, 4, 4, 4]


def test_positions_of_a_picture_by_hand():
    """Two words and vision_start take 0, 1, 2; a 2x3 merged grid starts at 3; the largest id is 3 + 2 = 5."""
    ids, delta = g.mrope_position_ids(11, [VisionSpan(3, (1, 4, 6))])
    assert ids.tolist() == [
        [0, 1, 2, 3, 3, 3, 3, 3, 3, 6, 7],
        [0, 1, 2, 3, 3, 3, 4, 4, 4, 6, 7],
        [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7],
    ]
    assert delta == 7 + 1 - 11


def test_other_position_schemes_of_the_same_prompt():
    """The 2x3 picture again: silenced, all six tokens stand at 3 and the text still goes on at 6; 1-D, all count up."""
    known = g.mrope_position_ids(11, [VisionSpan(3, (1, 4, 6))])
    assert g.positions_under("mrope", *known)[0] is known[0]
    silenced, delta = g.positions_under("silenced", *known)
    assert silenced.tolist() == [[0, 1, 2, 3, 3, 3, 3, 3, 3, 6, 7]] * 3
    assert delta == known[1]
    plain, delta = g.positions_under("1d", *known)
    assert plain.tolist() == [list(range(11))] * 3
    assert delta == 0  # the first token of the answer stands at 11


def test_text_behind_a_video_longer_than_it_is_wide_does_not_collide_with_it():
    """Grid (10, 4, 4) behind two words: t runs 2..11, so the text goes on at 12. Some references put it at 4."""
    ids, delta = g.mrope_position_ids(2 + 40 + 3, [VisionSpan(2, (10, 4, 4))])
    assert ids[0, 2:42].tolist() == [2 + t for t in range(10) for _ in range(4)]
    assert ids[1, 2:42].tolist() == [2, 2, 3, 3] * 10
    assert ids[2, 2:42].tolist() == [2, 3, 2, 3] * 10
    assert ids[:, 42:].tolist() == [[12, 13, 14]] * 3
    assert delta == 15 - 45


def test_positions_of_text_alone_count_up():
    ids, delta = g.mrope_position_ids(5, [])
    assert ids.tolist() == [[0, 1, 2, 3, 4]] * 3
    assert delta == 0


def test_a_span_that_overruns_the_prompt_is_refused():
    with pytest.raises(ValueError, match="needs 6 placeholders"):
        g.mrope_position_ids(8, [VisionSpan(3, (1, 4, 6))])


grids = st.tuples(st.integers(1, 12), st.integers(1, 6).map(lambda n: 2 * n), st.integers(1, 6).map(lambda n: 2 * n))


@given(st.lists(st.tuples(st.integers(0, 9), grids), max_size=5), st.integers(0, 9))
def test_positions_equal_a_token_by_token_count(parts, tail):
    """The slow obvious version: walk the prompt, and after each step ask for the largest id so far."""
    spans, expected, largest = [], [], -1
    for text, grid in parts:
        for _ in range(text):
            largest += 1
            expected.append((largest,) * 3)
        spans.append(VisionSpan(len(expected), grid))
        start = largest + 1
        for t, h, w in itertools.product(range(grid[0]), range(grid[1] // 2), range(grid[2] // 2)):
            expected.append((start + t, start + h, start + w))
            largest = max(largest, *expected[-1])
    for _ in range(tail):
        largest += 1
        expected.append((largest,) * 3)
    ids, delta = g.mrope_position_ids(len(expected), spans)
    assert ids.T.tolist() == [list(p) for p in expected]
    assert len(expected) + delta == largest + 1


def test_bands_of_the_released_checkpoints():
    """16, 24 and 24 of 64 pairs: t owns the highest frequencies, w the lowest."""
    axes = g.band_axes((16, 24, 24))
    assert [(axes == a).nonzero()[0][[0, -1]].tolist() for a in range(3)] == [[0, 15], [16, 39], [40, 63]]
    frequencies = g.inverse_frequencies(64, 1e6)
    assert frequencies[0] == 1
    assert frequencies[32] == pytest.approx(1e-3)  # half-way: the square root of a million


@pytest.mark.parametrize(
    ("total", "source_fps", "count"),
    [
        (300, 30, 20),  # ten seconds at 2 a second
        (31, 30, 4),  # one second: the least is 4
        (315, 30, 20),  # 21 frames round down to whole pairs
        (1, 25, 2),  # a single frame fills its pair twice
        (2, 25, 2),
        (3, 25, 4),  # the last frame is repeated
        (5, 1, 4),  # five seconds want 10, five frames give two pairs
        (100_000, 25, 768),
    ],
)
def test_how_many_frames_a_clip_gives(total, source_fps, count):
    assert g.video_frame_count(total, source_fps) == count


@given(st.integers(1, 5000), st.floats(0.5, 120), st.floats(0.1, 30), st.integers(2, 64), st.integers(2, 768))
def test_frames_come_in_pairs_within_the_limits_and_in_order(total, source_fps, fps, low, high):
    count = g.video_frame_count(total, source_fps, fps=fps, min_frames=low, max_frames=high)
    assert count % 2 == 0
    assert 2 <= count <= high
    indices = g.sample_indices(total, count)
    assert len(indices) == count
    assert indices[0] == 0
    assert (np.diff(indices) >= 0).all()
    assert indices[-1] == total - 1 or count < 2
    if total >= 4:
        assert len(set(indices.tolist())) == count  # nothing is sampled twice


def test_frames_share_the_budget_of_the_whole_video():
    most = 768 * 784
    assert g.video_frame_pixels(4) == most
    assert g.video_frame_pixels(64) == most  # 24576 tokens / 64 frames x 2 = 768 tokens: the last clip at full size
    assert g.video_frame_pixels(128) == 24_576 * 784 // 128 * 2
    assert g.video_frame_pixels(768) == int(1.05 * 128 * 784)  # the floor acts


@given(st.integers(1, 40), st.integers(1, 40))
def test_grid_counts_patches_and_tokens_are_a_quarter(rows, columns):
    grid = g.grid_thw(1, rows * 28, columns * 28)
    assert grid == (1, 2 * rows, 2 * columns)
    assert g.merged_tokens(grid) == math.prod(grid) // 4 == rows * columns
