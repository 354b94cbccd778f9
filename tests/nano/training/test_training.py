"""What training feeds the model, that it learns, that it goes on where it stopped, and that scoring is generation."""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.model.weights import NANO
from qwen2vl_demo.nano.checkpoint import nano_config, write_checkpoint
from qwen2vl_demo.nano.dialogue.generator import CELL_LABELS, FAMILIES, sample
from qwen2vl_demo.nano.evaluation.evaluate import evaluate, score
from qwen2vl_demo.nano.tokenizer import train_tokenizer, vocabulary_texts, write_tokenizer
from qwen2vl_demo.nano.training.auxiliary_heads import (
    MOST_CELLS,
    MOST_PICTURES,
    BoxHead,
    DenseHead,
    PlaceHead,
    looking_loss,
)
from qwen2vl_demo.nano.training.batches import (
    IGNORED,
    MIX,
    Conversations,
    collate,
    picture_numbers,
    places,
    random_large_size,
    random_size,
)
from qwen2vl_demo.nano.training.train import DECAY_FROM, HEADS, WARM_UP, Trainer, rate_at
from qwen2vl_demo.nano.world.drawing import draw_scene
from qwen2vl_demo.nano.world.scene import CHART_PARTS, COLOURS, HEADINGS, SHAPES, Background, Scene, Thing
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.messages import Image, Message, Text
from qwen2vl_demo.processing.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    raw = train_tokenizer(vocabulary_texts(200, 0), vocab_size=600)
    directory = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(raw, directory)
    tokenizer, template = Tokenizer.from_directory(directory), ChatTemplate.from_directory(directory)
    return raw, tokenizer, template, nano_config(raw)


def draw(kind, seed=0, count=2, size=(112, 140), turns=3):
    rng = np.random.default_rng(seed)
    return [sample(rng, kind, size=size, frames=4, turns=turns) for _ in range(count)]


@pytest.mark.parametrize("kind", MIX)
def test_exactly_the_answers_and_their_end_are_learnt(parts, kind):
    _, tokenizer, template, config = parts
    items = draw(kind)
    batch = collate(kind, items, tokenizer, template, config)
    for row, item in enumerate(items):
        for index, turn in enumerate(item.turns):
            target = batch.targets[row][batch.turn_ids[row] == index].tolist()
            assert tokenizer.decode(target) == turn.answer + "<|im_end|>"
        learnt = batch.targets[row] != IGNORED
        following = batch.input_ids[row].roll(-1)
        assert (following[learnt] == batch.targets[row][learnt]).all()


def test_placeholders_patches_and_cells_agree(parts):
    _, tokenizer, template, config = parts
    for kind in ("scene", "pictures", "clip"):
        batch = collate(kind, draw(kind), tokenizer, template, config)
        pads = ((batch.input_ids == config.image_token_id) | (batch.input_ids == config.video_token_id)).sum()
        assert pads * 4 == len(batch.patches)
        assert pads == len(batch.cells)
        assert batch.cells.max() < len(CELL_LABELS)


def test_each_merged_token_knows_its_row_and_column():
    """4 x 6 patches are 2 x 3 merged tokens, in raster order; a second pair of frames counts from the start again."""
    once = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert places((1, 4, 6)).tolist() == once
    assert places((2, 4, 6)).tolist() == once * 2


def test_pictures_and_pairs_of_frames_are_counted_through_a_conversation():
    """A picture of 1 x 2 merged tokens, and a clip of two pairs of frames of 2 x 1."""
    assert picture_numbers([(1, 2, 4), (2, 4, 2)]).tolist() == [0, 0, 1, 1, 2, 2]


def test_each_merged_token_is_asked_for_its_picture(parts):
    _, tokenizer, template, config = parts
    batch = collate("pictures", draw("pictures", count=4), tokenizer, template, config)
    seen = (batch.input_ids == config.image_token_id) | (batch.input_ids == config.video_token_id)
    pictures = (batch.input_ids == tokenizer.special("<|vision_start|>")).cumsum(1) - 1
    assert batch.numbers.tolist() == pictures[seen].tolist()
    assert batch.numbers.max() >= 1


def test_the_language_model_is_asked_for_the_picture_only_where_there_are_several(parts):
    """Hidden states that tell the number are right, and cost less than those that tell the next one."""
    _, tokenizer, template, config = parts
    head = PlaceHead(MOST_PICTURES)
    for part in (head.place, head.size):
        torch.nn.init.zeros_(part.weight)
    torch.nn.init.eye_(head.number.weight)
    reports, losses = {}, {}
    for kind, shift in (("scene", 0), ("pictures", 0), ("clip", 0), ("clip", 1)):
        batch = collate(kind, draw(kind), tokenizer, template, config)
        seen = (batch.input_ids == config.image_token_id) | (batch.input_ids == config.video_token_id)
        hidden = torch.zeros(*seen.shape, MOST_PICTURES)
        hidden[seen] = 20 * F.one_hot(batch.numbers + shift, MOST_PICTURES).float()
        with torch.no_grad():
            loss, reports[kind, shift] = head(hidden, hidden, seen, batch)
        losses[kind, shift] = loss.item()
    assert "number" not in reports["scene", 0]
    assert reports["pictures", 0]["number"] == reports["clip", 0]["number"] == 1
    assert reports["clip", 1]["number"] == 0
    assert losses["clip", 1] > losses["clip", 0] + 5


@pytest.mark.parametrize("kind", ["scene", "pictures", "clip"])
def test_the_size_of_each_medium_is_asked_where_its_vision_span_ends(parts, kind):
    _, tokenizer, template, config = parts
    items = draw(kind)
    batch = collate(kind, items, tokenizer, template, config)
    assert len(batch.ends) == sum(len(item.media) for item in items)
    for row, at, height, width in batch.ends.tolist():
        assert batch.input_ids[row, at] == config.vision_end_token_id
        assert (height, width) == (4, 5)


def test_edges_say_where_a_thing_begins_and_ends_seen_from_each_of_its_cells():
    """A red square of 40 px whose centre (70, 42) lies in the middle of cell (1, 2): its half side is 17.6 px of 28."""
    thing = Thing("square", "red", (220, 30, 35), 70, 42, 20)
    _, cells = draw_scene(Scene(112, 112, Background((255,) * 3, (255,) * 3), (thing,)), np.random.default_rng(0))
    half = 0.88 * 20 / 28
    assert cells.edges[1, 2] == pytest.approx([1, -half, -half, half, half], abs=0.01)
    assert np.isnan(cells.edges[3, 0]).all()
    assert np.nansum(cells.edges[..., 0]) == 1


def test_pictures_have_16_to_64_merged_tokens():
    rng = np.random.default_rng(0)
    sizes = [random_size(rng, kind) for kind in MIX for _ in range(200)]
    assert {16 <= h * w // 784 <= 64 and h % 28 == w % 28 == 0 for h, w in sizes} == {True}
    assert len({h / w for h, w in sizes}) > 15


def test_larger_pictures_stay_within_what_training_asks_the_place_of():
    rng = np.random.default_rng(0)
    for low, high in ((64, 256), (256, 1024)):
        for height, width in (random_large_size(rng, low, high) for _ in range(300)):
            assert low < height * width // 28**2 <= high
            assert max(height, width) // 28 < MOST_CELLS


def test_two_workers_draw_different_worlds(parts):
    _, tokenizer, template, config = parts
    streams = [Conversations(tokenizer, template, config, seed) for seed in (1, 1, 2)]
    first = [next(iter(s)).input_ids for s in streams]
    assert torch.equal(first[0], first[1])
    assert first[0].shape != first[2].shape or not torch.equal(first[0], first[2])


def test_scoring_a_conversation_in_one_pass_equals_generating_each_answer(parts, tmp_path):
    """A model after a few steps on one conversation is right on some answers and wrong on others; the engine, asked
    turn by turn behind the right answers, must agree with the score about which."""
    raw, tokenizer, template, config = parts
    torch.manual_seed(0)
    model = Qwen2VL(config)
    batch = collate("scene", draw("scene", seed=3, count=1, turns=6), tokenizer, template, config)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    verdicts: list[bool] = []
    for _ in range(300):
        hidden = model(model.embed(batch.input_ids, model.encode(batch.patches, batch.grids)), batch.position_ids)
        learnt = batch.targets != IGNORED
        loss = F.cross_entropy(model.logits(hidden[learnt]), batch.targets[learnt])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        verdicts = [right for _, right, _ in score(model, batch)]
        if 2 <= sum(verdicts) < len(verdicts):
            break
    assert 0 < sum(verdicts) < len(verdicts)
    write_checkpoint(model, raw, tmp_path)
    engine = LocalEngine.load(str(tmp_path), device="cpu", dtype="float32")
    import PIL.Image

    picture, turns = PIL.Image.fromarray(batch.samples[0].media[0]), batch.samples[0].turns
    messages: list[Message] = []
    for turn, verdict in zip(turns, verdicts, strict=True):
        media = [Image(picture)] if not messages else []
        messages.append(Message("user", [*media, Text(turn.question)]))
        chunks = list(engine.stream(messages, GenerationOptions(max_new_tokens=60)))
        assert (chunks[-1].result.text == turn.answer) is verdict
        messages.append(Message("assistant", turn.answer))


def test_a_stopped_run_goes_on_and_a_finished_one_writes_a_checkpoint(tmp_path):
    """Two seconds, and two more after a second start: steps add up, the log and the best checkpoint are there."""
    first = Trainer(tmp_path, minutes=2 / 60, dense_share=0.4, device="cpu", seed=0, samples_per_check=10)
    first.train(workers=0, check_minutes=10)
    assert first.step >= 1
    again = Trainer(
        tmp_path, minutes=(first.elapsed + 2) / 60, dense_share=0.1, device="cpu", seed=0, samples_per_check=10
    )
    assert (again.step, again.elapsed) == (first.step, first.elapsed)
    again.train(workers=0, check_minutes=10)
    assert again.step > first.step
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert records[-1]["step"] == again.step
    assert LocalEngine.load(str(tmp_path / "best"), dtype="float32").processor.config == again.model.config
    later = Trainer(tmp_path / "later", 1, 0.1, "cpu", seed=7, start_from=tmp_path / "best")
    heads = again.lesson.heads.state_dict()
    assert all(torch.equal(tensor, heads[name]) for name, tensor in later.lesson.heads.state_dict().items())
    (tmp_path / "best" / HEADS).unlink()
    without = Trainer(tmp_path / "without", 1, 0.1, "cpu", seed=7, start_from=tmp_path / "best")
    assert (later.new_heads, without.new_heads) == (False, True)


def test_a_new_run_can_begin_with_the_weights_of_a_checkpoint(tmp_path):
    trainer = Trainer(tmp_path, 1, 0.1, "cpu", seed=0, start_from=NANO)
    shipped = load_file(NANO / "model.safetensors")
    assert all(torch.equal(tensor, shipped[name]) for name, tensor in trainer.model.state_dict().items())
    assert (trainer.step, trainer.raw_tokenizer.get_vocab_size()) == (0, trainer.model.config.text.vocab_size)


def test_dense_labels_ask_for_shape_and_colour_apart():
    head = DenseHead(8, lambda word: None)
    what, colour, heading = (len(own) for own in head.own)
    objects = [label for label in CELL_LABELS if label.endswith((" star", " circle"))]
    coloured = (len(SHAPES) + len(CHART_PARTS)) * len(COLOURS)
    star = {int(head.table[CELL_LABELS.index(o), 0]) for o in objects if o.endswith("star")}
    red = {int(head.table[CELL_LABELS.index(o), 1]) for o in objects if o.startswith("red ")}
    assert len(star) == len(red) == 1
    assert colour == 8 + 1  # and none
    assert heading == len(HEADINGS)
    assert what == len(CELL_LABELS) - coloured + len(SHAPES) + len(CHART_PARTS)


def test_a_merged_token_that_lies_towards_the_words_red_and_star_is_a_red_star(parts):
    """The sum of both words' directions, whatever its length, is told right; turned away from "star" it is not."""
    _, tokenizer, template, config = parts
    ids = {word: index for index, word in enumerate((*SHAPES, *COLOURS))}
    head = DenseHead(64, ids.get)
    torch.manual_seed(0)
    embedding = torch.randn(len(ids), 64) + 3  # all words share a large part, as real ones do
    batch = collate("scene", draw("scene"), tokenizer, template, config)
    label = CELL_LABELS.index("red star")
    batch = dataclasses.replace(batch, cells=torch.full_like(batch.cells, label))
    what, colour = (head.directions(question, embedding)[head.table[label, question]] for question in (0, 1))
    for direction, expected in ((what + colour, (1, 1)), (-what + colour, (0, 1))):
        _, right = head(5 * direction.expand(len(batch.cells), -1), batch, embedding)
        assert (right["what"], right["colour"]) == expected
    shapes = embedding[: len(SHAPES)]
    star = shapes[SHAPES.index("star")] - shapes.mean(0)
    assert torch.allclose(what, star / star.norm(), atol=1e-5)


def test_the_box_head_is_asked_for_the_box_that_the_answer_gives(parts):
    """A head that only has a bias is right about one box; it is told how far the boxes of the answers are from it."""
    _, tokenizer, template, config = parts
    rng = np.random.default_rng(5)
    items = [sample(rng, "scene", size=(112, 140), turns=8) for _ in range(12)]
    for item in items:
        for turn in item.turns:
            numbers = [int(n) for n in re.findall(r"\d+", turn.answer)]
            if "<|box_start|>" not in turn.answer or len(turn.focus) != 1:
                continue
            media = (0,)
            alone = dataclasses.replace(item, turns=(dataclasses.replace(turn, media=media),))
            batch = collate("scene", [alone], tokenizer, template, config)
            seen = batch.input_ids == config.image_token_id
            head = BoxHead(4)
            torch.nn.init.zeros_(head.box.weight)
            with torch.no_grad():
                head.box.bias.copy_(torch.tensor(numbers) / 1000)
            _, off = head(torch.zeros(*seen.shape, 4), seen, batch)
            assert off["box_off"] < 0.006, turn.answer  # the answer rounds to hundredths
            return
    raise AssertionError("no question for a box was drawn")


def test_the_rate_rises_stays_and_falls():
    assert rate_at(0.0) < rate_at(WARM_UP / 2) < rate_at(WARM_UP) == 1.0 == rate_at(DECAY_FROM - 0.01)
    assert 1.0 > rate_at(DECAY_FROM + 0.1) > rate_at(0.8) > rate_at(1.0) == 0.02


def test_a_random_model_scores_nothing_and_every_family_is_asked(parts):
    _, tokenizer, template, config = parts
    torch.manual_seed(0)
    rows = evaluate(Qwen2VL(config), tokenizer, template, samples_per_kind=24)
    assert {row.family for row in rows} == set(FAMILIES) - {"name"}  # icons are not there in every place
    assert all(row.accuracy < 0.05 and row.questions > 5 for row in rows)
    assert all(0 < dataclasses.astuple(row)[3] <= 0.5 for row in rows)


@pytest.mark.parametrize("kind", ["scene", "pictures", "clip"])
def test_a_look_is_from_where_the_token_is_written_at_tokens_of_the_right_picture(parts, kind):
    _, tokenizer, template, config = parts
    items = draw(kind, count=4, turns=6)
    batch = collate(kind, items, tokenizer, template, config)
    visual = (batch.input_ids == config.image_token_id) | (batch.input_ids == config.video_token_id)
    assert len(batch.looks) > 20
    for row, position, part in batch.looks.tolist():
        assert batch.targets[row, position] != IGNORED
        seen = batch.looked_at[part].nonzero().flatten()
        assert len(seen)
        assert visual[row, seen].all()
        assert seen.max() < position
    asked = sum(len(turn.focus) for item in items for turn in item.turns)
    assert len(batch.looked_at) == asked
    cells = sum(len(part.cells) for item in items for turn in item.turns for part in turn.focus)
    assert batch.looked_at.sum() == cells


def test_the_share_of_a_looking_head_is_its_softmax_attention(parts):
    """The same share from the plain softmax of the head's whole attention matrix."""
    _, tokenizer, template, config = parts
    torch.manual_seed(0)
    model = Qwen2VL(config)
    batch = collate("scene", draw("scene"), tokenizer, template, config)
    layer = model.model.layers[1].self_attn
    angles = model.model.mrope(batch.position_ids)[:, None]
    hidden = torch.randn(*batch.input_ids.shape, config.text.hidden_size)
    loss, share = looking_loss(layer, hidden, angles.cos(), angles.sin(), batch)
    size = layer.head_dim
    q, k = layer.q_proj(hidden)[..., :size], layer.k_proj(hidden)[..., :size]
    full = torch.cat([angles, angles], -1)[:, 0]
    half = lambda x: torch.cat([-x[..., size // 2 :], x[..., : size // 2]], -1)  # noqa: E731
    q, k = (x * full.cos() + half(x) * full.sin() for x in (q, k))
    causal = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool).tril()
    weights = ((q @ k.mT) / size**0.5).masked_fill(~causal, float("-inf")).softmax(-1)
    expected = torch.stack([weights[r, p][batch.looked_at[i]].sum() for r, p, i in batch.looks.tolist()])
    assert share == pytest.approx(expected.mean().item(), rel=1e-4)
    assert loss.item() == pytest.approx(-expected.log().mean().item(), rel=1e-4)
