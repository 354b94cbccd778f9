"""What nano's score hangs on: the token budget, the h and w positions, the drawings, how large they are; and how well
its boxes fit.

Each study asks questions of held-out seeds. Knows the model through `evaluate.score` and the engine; prints nothing.
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
from qwen2vl_demo.nano.dialogue.conversations import Turn
from qwen2vl_demo.nano.dialogue.generator import Sample, sample
from qwen2vl_demo.nano.dialogue.wording import a
from qwen2vl_demo.nano.evaluation.evaluate import HELD_OUT_SEED, Row, scored
from qwen2vl_demo.nano.training.batches import Batch, collate
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.drawing import draw_scene
from qwen2vl_demo.nano.world.layout import WHITE
from qwen2vl_demo.nano.world.nouns import NOUNS
from qwen2vl_demo.nano.world.scene import Background, Scene, Thing
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.messages import Image, Message, Text
from qwen2vl_demo.processing.tokenizer import Tokenizer

BUDGETS = (4, 6, 8)  # merged tokens a side: 16, 36 and 64 a picture, what nano was trained for
PRINT_BUDGETS = (8, 16, 32)  # 64, 256 and 1024 for the same small print, laid out for 256
SHARES = (8, 4, 2, 1)  # an eighth, ... of the picture's side, which a drawing takes
BATCH = 16
_BOX = re.compile(r"\((\d+),(\d+)\),\((\d+),(\d+)\)")


def by_budget(
    model: Qwen2VL,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    *,
    conversations: int,
    kinds: Sequence[str] = ("scene", "text"),
    sides: Sequence[int] = BUDGETS,
    drawn: int = 224,
) -> dict[int, list[Row]]:
    """Scores of the same pictures of `drawn` px a side, resized to each budget of merged tokens."""
    tables = {}
    for side in sides:

        def shrink(item: Sample, pixels: int = side * FACTOR) -> Sample:
            def resized(medium: np.ndarray) -> np.ndarray:
                return np.asarray(PIL.Image.fromarray(medium).resize((pixels, pixels), PIL.Image.Resampling.BICUBIC))

            turns = tuple(dataclasses.replace(turn, focus=()) for turn in item.turns)
            return Sample(tuple(resized(m) for m in item.media), turns, item.cells)

        tables[side * side] = _scores(model, tokenizer, template, conversations, kinds, drawn, change=shrink)
    return tables


def small_print(
    model: Qwen2VL, tokenizer: Tokenizer, template: ChatTemplate, *, conversations: int
) -> dict[int, list[Row]]:
    """Scores of the same charts, receipts and opening hours, whose print wants 256 merged tokens, by budget."""
    return by_budget(
        *(model, tokenizer, template), conversations=conversations, kinds=("paper",), sides=PRINT_BUDGETS, drawn=448
    )


def by_drawings(
    model: Qwen2VL, tokenizer: Tokenizer, template: ChatTemplate, *, conversations: int
) -> dict[str, list[Row]]:
    """Scores of scenes whose icons come from the sets trained on, and from the one held out; {} without icons."""
    if not icons.nouns():
        return {}
    tables = {}
    for name, sets in (("icons trained on", icons.TRAINED), ("icons held out", (icons.HELD_OUT,))):
        with icons.only(*sets):
            tables[name] = _scores(model, tokenizer, template, conversations, ("scene",))
    return tables


def by_size(
    model: Qwen2VL, tokenizer: Tokenizer, template: ChatTemplate, *, nouns: int | None = None
) -> dict[str, list[Row]]:
    """How often each drawing of a noun, alone on white, is named, by the share of the picture's side that it takes: of
    the sets trained on, and of the one held out. {} without icons; `nouns` asks for the first ones only.
    """
    tables = {}
    for held_out in (False, True):
        with icons.only(*((icons.HELD_OUT,) if held_out else icons.TRAINED)):
            drawn = [(noun, index) for noun in icons.nouns()[:nouns] for index in range(len(icons.pictures(noun)))]
            for share in SHARES if drawn else ():
                items = [_alone(noun, index, share) for noun, index in drawn]
                groups = (items[start : start + BATCH] for start in range(0, len(items), BATCH))
                tables[f"side/{share}{' held out' if held_out else ''}"] = scored(
                    model, (collate("scene", group, tokenizer, template, model.config) for group in groups)
                )
    return tables


def _alone(noun: str, index: int, share: int) -> Sample:
    """One drawing in the middle of 224x224 px of white, as wide or high as 1/`share` of them, and what it is."""
    side = 224
    thing = Thing(noun, "", (0, 0, 0), side / 2, side / 2, side / 2 / share, icon=index)
    pixels, cells = draw_scene(Scene(side, side, Background(WHITE, WHITE), (thing,)), np.random.default_rng(0))
    return Sample((pixels,), (Turn("What is this?", f"It is {a(noun)}.", "name", (0,), len(NOUNS)),), ((cells,),))


def without_places(
    model: Qwen2VL, tokenizer: Tokenizer, template: ChatTemplate, *, conversations: int
) -> tuple[list[Row], list[Row]]:
    """Scores with M-RoPE as trained, and with h and w silenced: both set to t, so that a picture has one address."""

    def silence(batch: Batch) -> Batch:
        return dataclasses.replace(batch, position_ids=batch.position_ids[:1].expand(3, -1, -1))

    return (
        _scores(model, tokenizer, template, conversations),
        _scores(model, tokenizer, template, conversations, alter=silence),
    )


def _scores(
    model: Qwen2VL,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    conversations: int,
    kinds: Sequence[str] = ("scene", "text"),
    drawn: int = 224,
    change: Callable[[Sample], Sample] = lambda item: item,
    alter: Callable[[Batch], Batch] = lambda batch: batch,
) -> list[Row]:
    rng = np.random.default_rng([HELD_OUT_SEED, 77])

    def batches() -> Iterator[Batch]:
        for kind in kinds:
            for _ in range(max(1, conversations // BATCH)):
                items = [change(sample(rng, kind, size=(drawn, drawn), turns=7)) for _ in range(BATCH)]
                yield alter(collate(kind, items, tokenizer, template, model.config))

    return scored(model, batches())


def box_overlap(first: Sequence[int], second: Sequence[int]) -> float:
    """Intersection over union of two boxes (x1, y1, x2, y2)."""
    wide = min(first[2], second[2]) - max(first[0], second[0])
    tall = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(0, wide) * max(0, tall)
    both = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return shared / (both - shared) if both > shared else 0.0


def answers_overlap(given: str, truth: str) -> float:
    """The same of the first box of each of two answers; 0 where one has none."""
    boxes = [[int(side) for side in found.groups()] for text in (given, truth) if (found := _BOX.search(text))]
    return box_overlap(*boxes) if len(boxes) == 2 else 0.0


def box_fit(directory: Path, *, questions: int) -> tuple[float, int]:
    """Mean intersection over union of the boxes nano writes, 0 where it writes none; and how many were asked for."""
    engine = LocalEngine.load(str(directory), device="cpu", dtype="float32")
    rng = np.random.default_rng([HELD_OUT_SEED, 78])
    overlaps: list[float] = []
    while len(overlaps) < questions:
        item = sample(rng, "scene", turns=8)
        for turn in item.turns:
            if turn.family != "box" or not _BOX.search(turn.answer) or len(overlaps) == questions:
                continue
            message = Message("user", [Image(PIL.Image.fromarray(item.media[0])), Text(turn.question)])
            *_, last = engine.stream([message], GenerationOptions(max_new_tokens=60))
            overlaps.append(answers_overlap(last.result.text if last.result else "", turn.answer))
    return float(np.mean(overlaps)), len(overlaps)
