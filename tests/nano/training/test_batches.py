"""Batches: which tokens have a loss, and that ids, patches and auxiliary targets belong together."""

import numpy as np
import pytest
import torch

from qwen2vl_demo.nano.training.auxiliary_heads import MAX_GRID_SIDE
from qwen2vl_demo.nano.training.batches import (
    IGNORED,
    IMAGE_CONFIG,
    MIX,
    PRINTED,
    SIZE_SHARES,
    BatchStream,
    grid_positions,
    media_numbers,
    random_size,
    random_training_size,
)
from qwen2vl_demo.nano.world.drawing import draw_scene
from qwen2vl_demo.nano.world.scene import CELL_LABELS, Background, Scene, Thing
from qwen2vl_demo.processing.patches import patchify


@pytest.mark.parametrize("kind", MIX)
def test_exactly_the_answers_and_their_end_have_a_loss(tokenizer, make_batch, kind):
    batch = make_batch(kind)
    for row, item in enumerate(batch.dialogues):
        for index, turn in enumerate(item.turns):
            target = batch.targets[row][batch.turn_ids[row] == index].tolist()
            assert tokenizer.decode(target) == turn.answer + "<|im_end|>"
        learnt = batch.targets[row] != IGNORED
        following = batch.input_ids[row].roll(-1)
        assert (following[learnt] == batch.targets[row][learnt]).all()


def test_placeholders_patches_and_cells_agree(config, make_batch):
    for kind in ("scene", "pictures", "clip"):
        batch = make_batch(kind)
        pads = ((batch.input_ids == config.image_token_id) | (batch.input_ids == config.video_token_id)).sum()
        assert pads * 4 == len(batch.patches(config.vision))
        assert pads == len(batch.cells)
        assert batch.cells.max() < len(CELL_LABELS)


def test_each_merged_token_knows_its_row_and_column():
    """4 x 6 patches are 2 x 3 merged tokens, in raster order; a second pair of frames counts from the start again."""
    once = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert grid_positions((1, 4, 6)).tolist() == once
    assert grid_positions((2, 4, 6)).tolist() == once * 2


def test_pictures_and_pairs_of_frames_are_counted_through_a_dialogue():
    """A picture of 1 x 2 merged tokens, and a clip of two pairs of frames of 2 x 1."""
    assert media_numbers([(1, 2, 4), (2, 4, 2)]).tolist() == [0, 0, 1, 1, 2, 2]


def test_each_merged_token_has_the_number_of_its_picture(tokenizer, config, make_batch):
    batch = make_batch("pictures", count=4)
    seen = (batch.input_ids == config.image_token_id) | (batch.input_ids == config.video_token_id)
    pictures = (batch.input_ids == tokenizer.special("<|vision_start|>")).cumsum(1) - 1
    assert batch.media_numbers.tolist() == pictures[seen].tolist()
    assert batch.media_numbers.max() >= 1


@pytest.mark.parametrize("kind", ["scene", "pictures", "clip"])
def test_each_vision_end_has_the_size_of_its_grid(config, make_batch, kind):
    batch = make_batch(kind)
    assert len(batch.vision_ends) == sum(len(item.media) for item in batch.dialogues)
    for row, at, height, width in batch.vision_ends.tolist():
        assert batch.input_ids[row, at] == config.vision_end_token_id
        assert (height, width) == (4, 5)


def test_edges_are_distances_from_the_centre_of_each_cell():
    """A red square of 40 px whose centre (70, 42) lies in the middle of cell (1, 2): its half side is 17.6 px of 28."""
    thing = Thing("square", "red", (220, 30, 35), 70, 42, 20)
    _, cells = draw_scene(Scene(112, 112, Background((255,) * 3, (255,) * 3), (thing,)), np.random.default_rng(0))
    half = 0.88 * 20 / 28
    assert cells.edges[1, 2] == pytest.approx([1, -half, -half, half, half], abs=0.01)
    assert np.isnan(cells.edges[3, 0]).all()
    assert np.nansum(cells.edges[..., 0]) == 1


def test_pictures_of_the_drawn_world_have_16_to_64_merged_tokens():
    rng = np.random.default_rng(0)
    sizes = [random_size(rng, kind) for kind in MIX if kind not in PRINTED for _ in range(200)]
    assert {16 <= h * w // 784 <= 64 and h % 28 == w % 28 == 0 for h, w in sizes} == {True}
    assert len({h / w for h, w in sizes}) > 15


def test_training_sizes_reach_1024_merged_tokens_and_stay_within_what_the_position_head_can_predict():
    rng = np.random.default_rng(0)
    for kind in SIZE_SHARES:
        sizes = [random_training_size(rng, kind) for _ in range(1000)]
        cells = [height * width // 28**2 for height, width in sizes]
        assert max(max(size) for size in sizes) // 28 < MAX_GRID_SIDE
        assert min(cells) >= (4 if kind == "page" else 16) and max(cells) <= 1024
        small = np.mean(np.array(cells) <= 64)
        assert abs(small - SIZE_SHARES[kind][0]) < 0.05
        assert (max(cells) > 900) == (SIZE_SHARES[kind][-1] > 0)


def test_media_of_different_shapes_are_cut_as_each_alone(config, make_batch):
    for kind in ("pictures", "clip", "limits"):
        batch = make_batch(kind, count=6)
        alone = [
            patchify(m if m.ndim == 4 else m[None], config.vision, IMAGE_CONFIG)
            for item in batch.dialogues
            for m in (item.media[i] for turn in item.turns for i in turn.media)
        ]
        assert torch.equal(batch.patches(config.vision), torch.cat(alone))


def test_streams_with_different_seeds_differ(tokenizer, template):
    streams = [BatchStream(tokenizer, template, seed) for seed in (1, 1, 2)]
    first = [next(iter(s)).input_ids for s in streams]
    assert torch.equal(first[0], first[1])
    assert first[0].shape != first[2].shape or not torch.equal(first[0], first[2])


@pytest.mark.parametrize("kind", ["scene", "pictures", "clip"])
def test_attention_queries_predict_answer_tokens_and_their_targets_are_earlier_merged_tokens(config, make_batch, kind):
    batch = make_batch(kind, count=4, turns=6)
    visual = (batch.input_ids == config.image_token_id) | (batch.input_ids == config.video_token_id)
    assert len(batch.attention_queries) > 20
    for row, position, part in batch.attention_queries.tolist():
        assert batch.targets[row, position] != IGNORED
        seen = batch.attention_masks[part].nonzero().flatten()
        assert len(seen)
        assert visual[row, seen].all()
        assert seen.max() < position
    targets = sum(len(turn.attention_targets) for item in batch.dialogues for turn in item.turns)
    assert len(batch.attention_masks) == targets
    cells = sum(len(part.cells) for item in batch.dialogues for turn in item.turns for part in turn.attention_targets)
    assert batch.attention_masks.sum() == cells
