"""Batches: which tokens have a loss, and that ids, patches and auxiliary targets belong together."""

import numpy as np
import pytest
import torch

from qwen2vl_demo.nano.training.auxiliary_heads import MAX_GRID_SIDE
from qwen2vl_demo.nano.training.batches import (
    IGNORED,
    IMAGE_CONFIG,
    PRINTED,
    common_box,
    grid_positions,
    media_numbers,
)
from qwen2vl_demo.nano.training.stream import (
    FIRST_CELLS,
    GROWN,
    MIX,
    SIZE_SHARES,
    BatchStream,
    random_size,
    random_training_size,
)
from qwen2vl_demo.nano.world.drawing import draw_scene
from qwen2vl_demo.nano.world.scene import CELL_CHARACTERS, CELL_LABELS, CHARACTERS, Background, Scene, Thing
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


def test_a_region_in_a_question_is_marked_by_special_tokens(tokenizer, make_batch):
    """As `processing.messages.question_parts` gives it to a visitor's prompt."""
    batch = make_batch("scene", count=8)
    begins = (batch.input_ids == tokenizer.special("<|box_start|>")).sum()
    texts = [text for item in batch.dialogues for turn in item.turns for text in (turn.question, turn.answer)]
    assert any("<|box_start|>" in turn.question for item in batch.dialogues for turn in item.turns)
    assert begins == sum(text.count("<|box_start|>") for text in texts)


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


def test_pages_of_print_grow_in_the_course_of_the_stage():
    rng = np.random.default_rng(0)
    for kind in PRINTED:
        largest = [
            max(height * width // 28**2 for height, width in (random_training_size(rng, kind, p) for _ in range(500)))
            for p in (0.0, 0.1, 0.25, 0.4, GROWN)
        ]
        assert largest == sorted(largest)
        assert FIRST_CELLS[kind] - 3 <= largest[0] <= FIRST_CELLS[kind]
        assert largest[-1] > 900
    assert max(random_training_size(rng, "scene", 0.0)[0] for _ in range(300)) > 16 * 28


@pytest.mark.parametrize(("kind", "width"), [("pictures", 588), ("clip", 1176), ("limits", 1176)])
def test_media_of_different_shapes_are_cut_as_each_alone(config, make_batch, kind, width):
    """Stills are cut once, for both frames; not so beside clips."""
    batch = make_batch(kind, seed=1, count=6)
    alone = [
        patchify(m if m.ndim == 4 else m[None], config.vision, IMAGE_CONFIG, once=width == 588)
        for item in batch.dialogues
        for m in (item.media[i] for turn in item.turns for i in turn.media)
    ]
    assert batch.patches(config.vision).shape[1] == width
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
    for row, position, part, _ in batch.attention_queries.tolist():
        assert batch.targets[row, position] != IGNORED
        seen = batch.attention_masks[part].nonzero().flatten()
        assert len(seen)
        assert visual[row, seen].all()
        assert seen.max() < position
    targets = sum(len(turn.attention_targets) for item in batch.dialogues for turn in item.turns)
    assert len(batch.attention_masks) == targets
    cells = sum(len(part.cells) for item in batch.dialogues for turn in item.turns for part in turn.attention_targets)
    assert batch.attention_masks.sum() == cells
    rows, _, _, slots = batch.attention_queries.unbind(1)
    assert slots.unique().shape == slots.shape
    assert torch.equal(slots // batch.most_queries, rows)


@pytest.mark.parametrize("kind", ["scene", "page"])
def test_merged_tokens_and_answers_are_found_by_their_place_among_all_tokens(config, make_batch, kind):
    batch = make_batch(kind)
    assert (batch.input_ids.flatten()[batch.merged] == config.image_token_id).all()
    assert len(batch.merged) == len(batch.cells)
    found = torch.zeros_like(batch.targets, dtype=torch.bool).flatten()
    found[batch.answers] = True
    assert torch.equal(found.view_as(batch.targets), batch.targets != IGNORED)


def test_cells_have_a_box_in_common_only_if_they_agree():
    box, other, none = [0.1, 0.2, 0.5, 0.6], [0.1, 0.2, 0.9, 0.6], [np.nan] * 4
    assert common_box(np.float32([box, none, box])) == pytest.approx(box)
    assert np.isnan(common_box(np.float32([box, other]))).all()
    assert np.isnan(common_box(np.float32([none]))).all()


@pytest.mark.parametrize("kind", PRINTED)
def test_copied_print_is_spelled_out(tokenizer, make_batch, kind):
    """Each character that is copied is a token, which depends on the one cell where it is printed."""
    batch = make_batch(kind, count=6, size=(140, 168))
    copied = 0
    for row, position, part, _ in batch.attention_queries.tolist():
        turn = batch.dialogues[row].turns[batch.turn_ids[row, position]]
        character = tokenizer.decode([int(batch.targets[row, position])])
        if not all(part.copied for part in turn.attention_targets) or character in ' \n"':
            continue
        (cell,) = batch.attention_masks[part].nonzero()[:, 0]
        first = (batch.input_ids[row] == tokenizer.special("<|vision_start|>")).nonzero()[0, 0] + 1
        truth = batch.dialogues[row].cells[0][0].characters.reshape(-1, CELL_CHARACTERS)[cell - first]
        assert character in [CHARACTERS[code - 1] for code in truth if code] or (truth > 0).all()
        copied += 1
    assert copied > 60


def test_what_is_not_copied_is_not_spelled_out(tokenizer, make_batch):
    for kind in ("scene", "page"):
        batch = make_batch(kind, count=6)
        assert max(len(tokenizer.decode([int(i)])) for i in batch.targets.flatten()[batch.answers]) > 3
