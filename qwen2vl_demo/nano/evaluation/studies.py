"""Ablations and breakdowns of nano's accuracy: token budget, M-RoPE's h and w, icon sets, icon sizes; and box IoU.

All studies use held-out seeds.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.geometry import FACTOR
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.nano.dialogue.dialogue import Dialogue, DialogueTurn
from qwen2vl_demo.nano.dialogue.generator import FAMILIES, random_dialogue
from qwen2vl_demo.nano.dialogue.wording import with_article
from qwen2vl_demo.nano.training.batches import Batch, collate
from qwen2vl_demo.nano.training.validation import HELD_OUT_SEED, FamilyScore, score_batches
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.drawing import draw_scene
from qwen2vl_demo.nano.world.layout import WHITE
from qwen2vl_demo.nano.world.nouns import NOUNS
from qwen2vl_demo.nano.world.scene import Background, Scene, Thing
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.messages import Image, Message, Text
from qwen2vl_demo.processing.tokenizer import Tokenizer

BUDGETS = (4, 6, 8)  # merged tokens a side: 16, 36 and 64 per picture
PRINT_BUDGETS = (8, 16, 32)  # 64, 256 and 1024 for small print that is laid out for 256
TOKEN_SIDES = (8, 12, 16, 24, 32)  # 64, 144, 256, 576 and 1,024, for reading.py
SHARES = (8, 4, 2, 1)  # a drawing is 1/8, ... of the picture's side
BATCH = 16  # dialogues, at most
_BOX = re.compile(r"\((\d+),(\d+)\),\((\d+),(\d+)\)")


def format_comparison(tables: dict[str, list[FamilyScore]]) -> str:
    """Accuracy by family, one column per table; families that one of the tables lacks are left out."""
    accuracies = {name: {score.family: score.accuracy for score in scores} for name, scores in tables.items()}
    lines = [f"{'family':<12}" + "".join(f" {name:>16}" for name in tables)]
    for family in FAMILIES:
        if all(family in column for column in accuracies.values()):
            lines.append(f"{family:<12}" + "".join(f" {column[family]:>16.1%}" for column in accuracies.values()))
    return "\n".join(lines)


def by_budget(
    model: Qwen2VL,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    *,
    dialogues: int,
    kinds: Sequence[str] = ("scene", "text"),
    sides: Sequence[int] = BUDGETS,
    drawn: int = 224,
) -> dict[int, list[FamilyScore]]:
    """Scores by number of merged tokens, for the same pictures of `drawn` px a side resized to each of `sides`."""
    tables = {}
    for side in sides:

        def shrink(item: Dialogue, pixels: int = side * FACTOR) -> Dialogue:
            def resized(medium: np.ndarray) -> np.ndarray:
                return np.array(PIL.Image.fromarray(medium).resize((pixels, pixels), PIL.Image.Resampling.BICUBIC))

            turns = tuple(dataclasses.replace(turn, attention_targets=()) for turn in item.turns)
            return Dialogue(tuple(resized(m) for m in item.media), turns, item.cells)

        tables[side * side] = _scores(model, tokenizer, template, dialogues, kinds, drawn, change_dialogue=shrink)
    return tables


def small_print(
    model: Qwen2VL, tokenizer: Tokenizer, template: ChatTemplate, *, dialogues: int
) -> dict[int, list[FamilyScore]]:
    """Scores by number of merged tokens, for charts, receipts and opening hours whose print is sized for 256."""
    return by_budget(
        *(model, tokenizer, template), dialogues=dialogues, kinds=("document",), sides=PRINT_BUDGETS, drawn=448
    )


def by_icon_set(
    model: Qwen2VL, tokenizer: Tokenizer, template: ChatTemplate, *, dialogues: int
) -> dict[str, list[FamilyScore]]:
    """Scores for scenes with icons from the training sets and from the held-out set; {} if there are no icons."""
    if not icons.nouns():
        return {}
    tables = {}
    for name, sets in (("icons trained on", icons.TRAINED), ("icons held out", (icons.HELD_OUT,))):
        with icons.using_sets(*sets):
            tables[name] = _scores(model, tokenizer, template, dialogues, ("scene",))
    return tables


def by_size(
    model: Qwen2VL, tokenizer: Tokenizer, template: ChatTemplate, *, nouns: int | None = None
) -> dict[str, list[FamilyScore]]:
    """How often a drawing of a noun, alone on white, is named rightly, by its size relative to the picture.

    For each drawing of the training sets and of the held-out set. `nouns` limits the study to the first nouns. {} if
    there are no icons.
    """
    tables = {}
    for held_out in (False, True):
        with icons.using_sets(*((icons.HELD_OUT,) if held_out else icons.TRAINED)):
            drawn = [(noun, index) for noun in icons.nouns()[:nouns] for index in range(len(icons.drawings(noun)))]
            for share in SHARES if drawn else ():
                items = [_single_icon(noun, index, share) for noun, index in drawn]
                groups = (items[start : start + BATCH] for start in range(0, len(items), BATCH))
                tables[f"side/{share}{' held out' if held_out else ''}"] = score_batches(
                    model, (collate("scene", group, tokenizer, template) for group in groups)
                )
    return tables


def _single_icon(noun: str, index: int, share: int) -> Dialogue:
    """A dialogue about one drawing on 224x224 px of white; its longer side is 1/`share` of the picture's."""
    side = 224
    thing = Thing(noun, "", (0, 0, 0), side / 2, side / 2, side / 2 / share, icon=index)
    pixels, cells = draw_scene(Scene(side, side, Background(WHITE, WHITE), (thing,)), np.random.default_rng(0))
    turn = DialogueTurn("What is this?", f"It is {with_article(noun)}.", "name", (0,), len(NOUNS))
    return Dialogue((pixels,), (turn,), ((cells,),))


def without_positions(
    model: Qwen2VL, tokenizer: Tokenizer, template: ChatTemplate, *, dialogues: int
) -> tuple[list[FamilyScore], list[FamilyScore]]:
    """Scores with M-RoPE as trained, and with h and w set to t, so that all tokens of a picture share one position."""

    def silence(batch: Batch) -> Batch:
        return dataclasses.replace(batch, position_ids=batch.position_ids[:1].expand(3, -1, -1))

    return (
        _scores(model, tokenizer, template, dialogues),
        _scores(model, tokenizer, template, dialogues, change_batch=silence),
    )


def _scores(
    model: Qwen2VL,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    dialogues: int,
    kinds: Sequence[str] = ("scene", "text"),
    drawn: int = 224,
    change_dialogue: Callable[[Dialogue], Dialogue] = lambda item: item,
    change_batch: Callable[[Batch], Batch] = lambda batch: batch,
) -> list[FamilyScore]:
    rng = np.random.default_rng([HELD_OUT_SEED, 77])
    count = min(BATCH, dialogues)

    def batches() -> Iterator[Batch]:
        for kind in kinds:
            for _ in range(dialogues // count):
                items = [
                    change_dialogue(random_dialogue(rng, kind, size=(drawn, drawn), turns=7)) for _ in range(count)
                ]
                # Few at a time where pictures are large, so that they fit into memory.
                step = max(1, BATCH * 64 * FACTOR**2 // max(m.shape[0] * m.shape[1] for d in items for m in d.media))
                for start in range(0, count, step):
                    yield change_batch(collate(kind, items[start : start + step], tokenizer, template))

    return score_batches(model, batches())


def box_iou(first: Sequence[int], second: Sequence[int]) -> float:
    """Intersection over union of two boxes (x1, y1, x2, y2)."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    intersection = max(0, width) * max(0, height)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return intersection / (areas - intersection) if areas > intersection else 0.0


def answer_iou(given: str, truth: str) -> float:
    """Intersection over union of the first boxes in two answers; 0 if one of them has no box."""
    boxes = [[int(side) for side in found.groups()] for text in (given, truth) if (found := _BOX.search(text))]
    return box_iou(*boxes) if len(boxes) == 2 else 0.0


def mean_box_iou(directory: Path, *, questions: int) -> tuple[float, int]:
    """Mean IoU of the boxes in nano's answers with the true ones (0 for an answer without a box), and the count."""
    engine = LocalEngine.load(str(directory), device="cpu", dtype="float32")
    rng = np.random.default_rng([HELD_OUT_SEED, 78])
    overlaps: list[float] = []
    while len(overlaps) < questions:
        item = random_dialogue(rng, "scene", turns=8)
        for turn in item.turns:
            if turn.family != "box" or not _BOX.search(turn.answer) or len(overlaps) == questions:
                continue
            message = Message("user", [Image(PIL.Image.fromarray(item.media[0])), Text(turn.question)])
            *_, last = engine.stream([message], GenerationOptions(max_new_tokens=60))
            overlaps.append(answer_iou(last.result.text if last.result else "", turn.answer))
    return float(np.mean(overlaps)), len(overlaps)
