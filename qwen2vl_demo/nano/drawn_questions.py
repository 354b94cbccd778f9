"""Drawn scenes with one question each, by family of question, as many as one likes: what the page measures accuracy on.

Scenes come from held-out seeds and consist of shapes, so that they are the same on every machine. They are drawn at
`SIDE` px, so that any budget shrinks them and none has to make up pixels. Loads no PyTorch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import PIL.Image

from qwen2vl_demo.geometry import FACTOR
from qwen2vl_demo.nano.dialogue.dialogue import Question
from qwen2vl_demo.nano.dialogue.phrases import PHRASES
from qwen2vl_demo.nano.dialogue.scene_questions import random_scene_question
from qwen2vl_demo.nano.dialogue.wording import expand_wording, normalize
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.drawing import draw_scene
from qwen2vl_demo.nano.world.layout import random_scene
from qwen2vl_demo.nano.world.scene import PLACES, Scene

HELD_OUT_SEED = 7_000_000  # as in training/validation.py, which loads PyTorch
STREAM = 90  # apart from what evaluation draws from held-out seeds
LAID_OUT = 224  # px, the side at which a scene is laid out
SIDE = 896  # px, at which it is drawn: 1,024 merged tokens
TRAINED_TOKENS = 64  # of a picture, at most, in most of nano's training
FAMILIES: dict[str, str] = {  # of `dialogue.generator.FAMILIES`, and what they ask
    "where": "where something is",
    "colour": "what colour something has",
    "shape": "what shape something has",
    "count": "how many there are",
    "exists": "whether something is there",
}
_PHRASES = {  # which wordings of `PHRASES` ask what
    "where": ("where", "at", "relation", "is relation"),
    "colour": ("colour", "colours", "colour at", "is colour", "it colour"),
    "shape": ("shape of", "shape at"),
    "count": ("count", "count all"),
    "exists": ("exists",),
}
_HINTS = {  # where no wording fits
    "where": r"\b(where|left|right|above|below|under|over|beside|next to|top|bottom|corner|place)\b",
    "count": r"\b(how many|number of|count)\b",
    "colour": r"\bcolou?rs?\b",
    "shape": r"\bshapes?\b",
    "exists": r"^(is|are) there\b|\b(can|do) you see\b",
}
MAX_QUESTION = 300  # characters that are looked at


@dataclass(frozen=True, eq=False)
class DrawnQuestion:
    """A question about a drawn scene, with its right answer."""

    pixels: np.ndarray  # (SIDE, SIDE, 3) uint8
    question: Question

    def at(self, tokens: int) -> np.ndarray:
        """The picture with so many merged tokens, a square number: shrunk as `evaluation.studies` does."""
        side = FACTOR * round(tokens**0.5)
        if side == SIDE:
            return self.pixels
        return np.array(PIL.Image.fromarray(self.pixels).resize((side, side), PIL.Image.Resampling.BICUBIC))


def drawn_question(family: str, number: int) -> DrawnQuestion:
    """Question `number` of one of `FAMILIES`: always the same one. Its wording is one of those nano was trained on or
    not; the answer is worded as nano was taught."""
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}, not {family!r}")
    rng = np.random.default_rng([HELD_OUT_SEED, STREAM, list(FAMILIES).index(family), number])
    with icons.using_sets():
        while True:
            scene = random_scene(rng, (LAID_OUT, LAID_OUT))
            if scene.things:
                break
        question = random_scene_question(rng, scene, {family: 1}, "all")
        pixels, _ = draw_scene(_enlarged(scene), rng)
    return DrawnQuestion(pixels, question)


def family_of(question: str) -> str | None:
    """The family that a question belongs to, by nano's wordings or else by a word in it; None if it fits none."""
    text = re.sub(r"\bcolor", "colour", normalize(" ".join(question[:MAX_QUESTION].split())))
    for family, patterns in _wordings().items():
        if any(pattern.fullmatch(text) for pattern in patterns):
            return family
    return next((family for family, hint in _HINTS.items() if re.search(hint, text)), None)


@cache
def _wordings() -> dict[str, tuple[re.Pattern[str], ...]]:
    """All wordings of each family; a field is a place where it is one, else a name of up to five words."""
    fields = {"place": f"(?:{'|'.join(PLACES)})"}

    def pattern(wording: str) -> re.Pattern[str]:
        text, names = re.split(r"\{\w+\}", normalize(wording)), re.findall(r"\{(\w+)\}", wording)
        filled = [fields.get(name, r"\S+(?: \S+){0,4}") for name in names]
        return re.compile("".join(a + b for a, b in zip(map(re.escape, text), [*filled, ""], strict=True)))

    return {
        family: tuple(pattern(text) for key in keys for wording in PHRASES[key] for text in expand_wording(wording))
        for family, keys in _PHRASES.items()
    }


def _enlarged(scene: Scene) -> Scene:
    """The same scene on a canvas of SIDE px."""
    scale = SIDE / LAID_OUT
    things = tuple(replace(t, x=t.x * scale, y=t.y * scale, radius=t.radius * scale) for t in scene.things)
    return replace(scene, height=SIDE, width=SIDE, things=things, signs=(), blur=scene.blur * scale, jpeg=0)
