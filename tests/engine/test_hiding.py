"""A hidden region: equal to masked attention in transformers, and nano without the thing that it was asked about."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from qwen2vl_demo.engine import load_engine
from qwen2vl_demo.engine.hiding import answer_log_probabilities, greyed
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.vision_cache import encode_medium
from qwen2vl_demo.processing.messages import Image, Message, Text
from qwen2vl_demo.processing.patches import patchify

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
GREEDY = GenerationOptions(max_new_tokens=16)


def nothing():
    """Nobody cancels."""


def encoded(engine, prompt):
    return torch.cat([encode_medium(engine.model, m, engine.processor.image, nothing) for m in prompt.media])


def ask(*pictures, question="What is in this picture?"):
    return [Message("user", [*map(Image, pictures), Text(question)])]


def noise(seed, size):
    return PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8))


@pytest.mark.parametrize("hide", [7, *(pytest.param(count, marks=pytest.mark.slow) for count in (0, 1))])
@torch.no_grad()
def test_left_out_tokens_are_masked_tokens_of_transformers(engine, checkpoint, hide):
    """The same log-probabilities as a pass over the whole sequence with a mask that hides the keys from all others."""
    import transformers

    messages = ask(noise(1, (120, 150)), noise(2, (90, 120)))
    prompt, answer = engine.prompt(messages, GREEDY), np.array([40, 41, 42])
    spans = [list(range(*medium.span)) for medium in prompt.trace.media]
    hidden = [*spans[0][2 : 2 + hide], *spans[1][:hide]]
    ours = answer_log_probabilities(engine.model, prompt, answer, encoded(engine, prompt), nothing, hidden=hidden)

    theirs = transformers.Qwen2VLForConditionalGeneration.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    ids = torch.from_numpy(np.concatenate([prompt.trace.input_ids, answer]))[None]
    mask = torch.full((ids.shape[1], ids.shape[1]), torch.finfo(torch.float32).min).triu(1)
    mask[:, hidden] = torch.finfo(torch.float32).min
    mask[hidden, hidden] = 0  # a row needs one key; nobody looks at these
    places = prompt.trace.position_ids
    behind = len(prompt.trace) + prompt.trace.rope_delta + np.arange(len(answer))
    positions = torch.from_numpy(np.concatenate([places, np.tile(behind, (3, 1))], axis=1))[:, None]
    config = engine.model.config.vision
    logits = theirs(
        input_ids=ids,
        attention_mask=mask[None, None],
        position_ids=positions,
        pixel_values=torch.cat([patchify(m.frames, config, engine.processor.image) for m in prompt.media]),
        image_grid_thw=torch.tensor([m.grid_thw for m in prompt.media]),
    ).logits[0]
    expected = logits[len(prompt.trace) - 1 : -1].log_softmax(-1)[range(3), answer]
    np.testing.assert_allclose(ours, expected.numpy(), atol=2e-4)


def test_text_cannot_be_hidden(engine):
    prompt = engine.prompt(ask(noise(3, (60, 60))), GREEDY)
    with pytest.raises(ValueError, match="only merged tokens"):
        answer_log_probabilities(engine.model, prompt, np.array([40]), encoded(engine, prompt), nothing, hidden=[0])


def test_grey_covers_the_cells_and_nothing_else(engine):
    """A clip of two steps, 2x3 cells of 28 px: the pair of frames of a step is covered alike."""
    frames = np.zeros((4, 56, 84, 3), dtype=np.uint8)
    cells = np.zeros((2, 2, 3), dtype=bool)
    cells[1, 0, 2] = True
    made = greyed(frames, cells, engine.processor.image)
    assert not made[:2].any() and not frames.any()
    expected = np.zeros((56, 84), dtype=bool)
    expected[:28, 56:] = True
    for frame in made[2:]:
        assert (frame[expected] == [123, 117, 104]).all() and not frame[~expected].any()
    single = greyed(frames[:1], cells[1:], engine.processor.image)
    assert (single[0] == made[2]).all()


@pytest.mark.slow
def test_nano_needs_the_thing_that_it_is_asked_about():
    """Its answer is far less likely when the star, in the upper left, is hidden, either way, and as likely as before
    when as much of another place is."""
    engine = load_engine("nano", device="cpu")
    messages = ask(PIL.Image.open(EXAMPLES / "second.png"), question="What colour is the star?")
    prompt = engine.prompt(messages, GREEDY)
    text = list(engine.stream(messages, GREEDY))[-1].result.text
    assert text == "The star is black."
    ids, vision = engine.sampled(prompt.trace, text), encoded(engine, prompt)
    whole = answer_log_probabilities(engine.model, prompt, ids, vision, nothing)
    medium = prompt.trace.media[0]
    _, rows, columns = medium.merged_grid
    star = np.zeros((1, rows, columns), dtype=bool)
    star[0, :3, :3] = True
    elsewhere = np.roll(star, (3, 4), axis=(1, 2))

    def drop(cells):
        """The sum over the answer of what is lost: left out of attention, and grey."""
        hidden = (medium.span[0] + np.flatnonzero(cells)).tolist()
        grey = replace(prompt.media[0], frames=greyed(prompt.media[0].frames, cells, engine.processor.image))
        covered = encode_medium(engine.model, grey, engine.processor.image, nothing)
        left_out = answer_log_probabilities(engine.model, prompt, ids, vision, nothing, hidden=hidden)
        painted = answer_log_probabilities(engine.model, prompt, ids, covered, nothing)
        return float((whole - left_out).sum()), float((whole - painted).sum())

    assert min(drop(star)) > 4
    assert np.abs(drop(elsewhere)).max() < 0.1
