"""The auxiliary heads and losses, against expected values derived by hand."""

import dataclasses
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.nano.dialogue.generator import random_dialogue
from qwen2vl_demo.nano.training.auxiliary_heads import (
    MAX_MEDIA,
    BoxHead,
    DenseLabelHead,
    PositionHead,
    attention_loss,
)
from qwen2vl_demo.nano.training.batches import (
    collate,
)
from qwen2vl_demo.nano.world.scene import CELL_LABELS, CHART_PARTS, COLOURS, HEADINGS, SHAPES


def test_the_picture_number_is_learnt_only_in_dialogues_with_several_media(config, make_batch):
    """Hidden states that encode the right number have a lower loss than those that encode the next one."""
    head = PositionHead(MAX_MEDIA)
    for part in (head.place, head.size):
        torch.nn.init.zeros_(part.weight)
    torch.nn.init.eye_(head.number.weight)
    reports, losses = {}, {}
    for kind, shift in (("scene", 0), ("pictures", 0), ("clip", 0), ("clip", 1)):
        batch = make_batch(kind)
        seen = (batch.input_ids == config.image_token_id) | (batch.input_ids == config.video_token_id)
        hidden = torch.zeros(*seen.shape, MAX_MEDIA)
        hidden[seen] = 20 * F.one_hot(batch.media_numbers + shift, MAX_MEDIA).float()
        with torch.no_grad():
            loss, reports[kind, shift] = head(hidden, hidden, batch)
        losses[kind, shift] = loss.item()
    assert "number" not in reports["scene", 0]
    assert reports["pictures", 0]["number"] == reports["clip", 0]["number"] == 1
    assert reports["clip", 1]["number"] == 0
    assert losses["clip", 1] > losses["clip", 0] + 5


def test_dense_labels_classify_shape_and_colour_separately():
    head = DenseLabelHead(8, lambda word: None)
    what, colour, heading = (len(own) for own in head.own)
    objects = [label for label in CELL_LABELS if label.endswith((" star", " circle"))]
    coloured = (len(SHAPES) + len(CHART_PARTS)) * len(COLOURS)
    star = {int(head.table[CELL_LABELS.index(o), 0]) for o in objects if o.endswith("star")}
    red = {int(head.table[CELL_LABELS.index(o), 1]) for o in objects if o.startswith("red ")}
    assert len(star) == len(red) == 1
    assert colour == 8 + 1  # and none
    assert heading == len(HEADINGS)
    assert what == len(CELL_LABELS) - coloured + len(SHAPES) + len(CHART_PARTS)


def test_a_merged_token_in_the_direction_of_the_words_red_and_star_is_a_red_star(make_batch):
    """The sum of both words' directions, whatever its length, is classified rightly; with "star" reversed it is not."""
    ids = {word: index for index, word in enumerate((*SHAPES, *COLOURS))}
    head = DenseLabelHead(64, ids.get)
    torch.manual_seed(0)
    embedding = torch.randn(len(ids), 64) + 3  # all words share a large part, as real ones do
    batch = make_batch("scene")
    label = CELL_LABELS.index("red star")
    batch = dataclasses.replace(batch, cells=torch.full_like(batch.cells, label))
    what, colour = (head.directions(question, embedding)[head.table[label, question]] for question in (0, 1))
    for direction, expected in ((what + colour, (1, 1)), (-what + colour, (0, 1))):
        _, right = head(5 * direction.expand(len(batch.cells), -1), batch, embedding)
        assert (right["what"], right["colour"]) == expected
    shapes = embedding[: len(SHAPES)]
    star = shapes[SHAPES.index("star")] - shapes.mean(0)
    assert torch.allclose(what, star / star.norm(), atol=1e-5)


def test_the_box_head_learns_the_box_that_the_answer_gives(tokenizer, template, config):
    """A head that always predicts the box written in an answer has no error for that answer."""
    rng = np.random.default_rng(5)
    items = [random_dialogue(rng, "scene", size=(112, 140), turns=8) for _ in range(12)]
    for item in items:
        for turn in item.turns:
            numbers = [int(n) for n in re.findall(r"\d+", turn.answer)]
            if "<|box_start|>" not in turn.answer or len(turn.attention_targets) != 1:
                continue
            media = (0,)
            alone = dataclasses.replace(item, turns=(dataclasses.replace(turn, media=media),))
            batch = collate("scene", [alone], tokenizer, template)
            head = BoxHead(4)
            torch.nn.init.zeros_(head.box.weight)
            with torch.no_grad():
                head.box.bias.copy_(torch.tensor(numbers) / 1000)
            _, error = head(torch.zeros(*batch.input_ids.shape, 4), batch)
            assert error["box_error"] < 0.006, turn.answer  # the answer rounds to hundredths
            return
    raise AssertionError("no question for a box was drawn")


def test_the_attention_loss_is_that_of_the_heads_softmax_attention(config, make_batch):
    """The attention mass on the targets, computed from the softmax of the whole attention matrix."""
    torch.manual_seed(0)
    model = Qwen2VL(config)
    batch = make_batch("scene")
    layer = model.model.layers[1].self_attn
    angles = model.model.mrope(batch.position_ids)[:, None]
    hidden = torch.randn(*batch.input_ids.shape, config.text.hidden_size)
    loss, mass = attention_loss(layer, hidden, angles.cos(), angles.sin(), batch)
    size = layer.head_dim
    q, k = layer.q_proj(hidden)[..., :size], layer.k_proj(hidden)[..., :size]
    full = torch.cat([angles, angles], -1)[:, 0]
    half = lambda x: torch.cat([-x[..., size // 2 :], x[..., : size // 2]], -1)  # noqa: E731
    q, k = (x * full.cos() + half(x) * full.sin() for x in (q, k))
    causal = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool).tril()
    weights = ((q @ k.mT) / size**0.5).masked_fill(~causal, float("-inf")).softmax(-1)
    expected = torch.stack(
        [weights[r, p][batch.attention_masks[i]].sum() for r, p, i, _ in batch.attention_queries.tolist()]
    )
    assert mass.item() == pytest.approx(expected.mean().item(), rel=1e-4)
    assert loss.item() == pytest.approx(-expected.log().mean().item(), rel=1e-4)
