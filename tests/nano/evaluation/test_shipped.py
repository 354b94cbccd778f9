"""The checkpoint in assets/nano: it answers the examples, is far above chance, and agrees with transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.nano.dialogue.generator import random_dialogue
from qwen2vl_demo.nano.evaluation.studies import answer_iou
from qwen2vl_demo.nano.example_files import COARSE_TOKENS
from qwen2vl_demo.nano.training.train import HEADS
from qwen2vl_demo.nano.training.validation import validate
from qwen2vl_demo.processing.chat import encode_chat
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video
from qwen2vl_demo.processing.patches import patchify
from qwen2vl_demo.resources import NANO

EXAMPLES = Path(__file__).resolve().parents[3] / "assets" / "examples"
OFFICIAL_FILES = {
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "generation_config.json",
    "chat_template.json",
}


@pytest.fixture(scope="module")
def engine():
    return LocalEngine.load("nano", device="cpu", dtype="float32")


def answer(engine, messages):
    return list(engine.stream(messages, GenerationOptions(max_new_tokens=80)))[-1].result.text


def test_it_is_a_checkpoint_in_the_official_layout_with_a_model_card():
    assert {path.name for path in NANO.iterdir()} >= OFFICIAL_FILES | {"README.md"}
    assert sum(path.stat().st_size for path in NANO.iterdir()) < 60e6


def test_the_auxiliary_heads_are_where_no_other_program_takes_them_for_weights():
    """Other programs read every safetensors file beside config.json."""
    assert (NANO / HEADS).is_file()
    assert [path.name for path in NANO.glob("*.safetensors")] == ["model.safetensors"]


@pytest.mark.parametrize("card", json.loads((EXAMPLES / "examples.json").read_text()), ids=lambda card: card["label"])
def test_the_examples_of_the_first_page_are_answered_rightly(engine, card):
    files = [EXAMPLES / name for name in card["files"]]
    parts = [Video(f) if f.suffix == ".mp4" else Image(f) for f in files]
    given = answer(engine, [Message("user", [*parts, Text(card["text"])])])
    # A box was written in bfloat16: its edges may lie a hundredth of a side elsewhere in float32.
    assert given == card["answer"] or answer_iou(given, card["answer"]) >= 0.9


FINE = [card for card in json.loads((EXAMPLES / "examples.json").read_text()) if "coarse_answer" in card]


@pytest.mark.parametrize("card", FINE, ids=lambda card: card["label"])
def test_small_print_is_read_at_the_full_budget_and_not_at_64_tokens(engine, card):
    message = Message("user", [*(Image(EXAMPLES / name) for name in card["files"]), Text(card["text"])])
    coarse = GenerationOptions(max_new_tokens=64, media=MediaOptions(max_pixels=COARSE_TOKENS * 784))
    *_, last = engine.stream([message], coarse)
    assert last.result.text != card["answer"]


@pytest.fixture(scope="module")
def table(engine):
    processor = engine.processor
    return {s.family: s for s in validate(engine.model, processor.tokenizer, processor.template, dialogues_per_kind=64)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "family", ["shape", "colour", "count", "exists", "where", "read", "chart", "pictures", "video", "followup"]
)
def test_on_scenes_it_has_never_seen_it_is_far_above_chance(table, family):
    """At least a quarter of the way from guessing to perfect, right to the letter. The card has the whole table."""
    score = table[family]
    assert score.accuracy > score.chance + (1 - score.chance) / 4


@pytest.mark.slow
def test_whole_descriptions_are_right_much_more_often_than_by_chance(table):
    assert table["describe"].chance < 0.002
    assert table["describe"].accuracy > 0.3


def test_it_says_what_it_is(engine):
    assert "nano" in answer(engine, [Message("user", "Who are you?")])


def media_and_question(kind, seed):
    """The media and question of a one-turn dialogue that training never used."""
    item = random_dialogue(np.random.default_rng([424242, seed]), kind, size=(140, 168), frames=4, turns=1)
    media = [item.media[m] for m in item.turns[0].media]
    return media, item.turns[0].question


@pytest.mark.parametrize("kind", ["scene", "text", "pictures", "clip", "chat"])
@torch.no_grad()
def test_transformers_gives_the_same_greedy_answers(engine, kind):
    """The same files, loaded by transformers; our ids and patches, so that what differs is the model alone."""
    import transformers

    theirs = transformers.Qwen2VLForConditionalGeneration.from_pretrained(NANO, dtype=torch.float32).eval()
    reader = transformers.AutoTokenizer.from_pretrained(NANO)
    processor, config = engine.processor, engine.model.config
    for seed in range(10):
        media, question = media_and_question(kind, seed)
        grids = [(m.shape[0] // 2 if m.ndim == 4 else 1, m.shape[-3] // 14, m.shape[-2] // 14) for m in media]
        patches = [patchify(m if m.ndim == 4 else m[None], config.vision, processor.image) for m in media]
        parts = [Video(b"") if m.ndim == 4 else Image(b"") for m in media]
        chat = encode_chat(
            [Message("user", [*parts, Text(question)])],
            processor.template,
            processor.tokenizer,
            placeholders=[int(np.prod(g)) // 4 for g in grids],
        )
        ids = torch.from_numpy(chat.input_ids)[None]
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        inputs["mm_token_type_ids"] = (ids == config.image_token_id).int() + 2 * (ids == config.video_token_id).int()
        if kind == "clip":
            inputs |= {"pixel_values_videos": torch.cat(patches), "video_grid_thw": torch.tensor(grids)}
        elif media:
            inputs |= {"pixel_values": torch.cat(patches), "image_grid_thw": torch.tensor(grids)}
        new = theirs.generate(**inputs, max_new_tokens=80, do_sample=False)[0, ids.shape[1] :]
        ours = generate(engine, chat.input_ids, patches, grids)
        assert reader.decode(new, skip_special_tokens=False).removesuffix("<|im_end|>") == ours


def generate(engine, ids, patches, grids):
    """Greedy decoding through the engine's own prefill and decode steps."""
    from qwen2vl_demo.engine.generate import decode_step, prefill
    from qwen2vl_demo.geometry import VisionSpan, mrope_position_ids
    from qwen2vl_demo.model.kv_cache import KVCache

    model, config = engine.model, engine.model.config
    pads = np.isin(ids, [config.image_token_id, config.video_token_id])
    starts = np.flatnonzero(pads & ~np.roll(pads, 1))
    positions, delta = mrope_position_ids(len(ids), [VisionSpan(int(s), g) for s, g in zip(starts, grids, strict=True)])
    vision = model.encode(torch.cat(patches), grids) if patches else None
    cache = KVCache(config.text, len(ids) + 80, device=model.device, dtype=model.dtype)
    logits = prefill(model, torch.from_numpy(ids), vision, torch.from_numpy(positions), cache, lambda: None)
    new: list[int] = []
    while len(new) < 80 and (token := int(logits.argmax())) not in engine.end_tokens:
        new.append(token)
        logits = decode_step(engine.decoder, token, delta, cache)
    return engine.processor.tokenizer.decode(new)


def test_media_options_reach_the_prompt(engine):
    wide = GenerationOptions(media=MediaOptions(max_pixels=32 * 784))
    trace = engine.prepare([Message("user", [Image(EXAMPLES / "things.png"), Text("Hi")])], wide)
    assert 16 <= trace.media[0].merged_tokens <= 32
