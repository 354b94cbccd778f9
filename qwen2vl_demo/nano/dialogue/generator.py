"""Nano's world: conversations about drawn scenes, signs, several pictures and short clips, with the truth known.

Contract: `sample` is the only entry point that training needs. Everything follows from the generator passed in (and
from the fonts of the machine): the same seed gives the same pixels, words and labels. Pictures and frames are RGB
uint8 with sides in multiples of 28 px, so that a merged token is a cell of 28x28 px. This module knows no model and
no tokenizer.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.dialogue.clip_questions import clip_conversation
from qwen2vl_demo.nano.dialogue.conversations import Sample, Turn, make_turn
from qwen2vl_demo.nano.dialogue.document_questions import paper_conversation
from qwen2vl_demo.nano.dialogue.follow_ups import follow_up
from qwen2vl_demo.nano.dialogue.multi_image import pictures_conversation
from qwen2vl_demo.nano.dialogue.phrases import CHAT, NO_PICTURE, OUTSIDE, PHRASES
from qwen2vl_demo.nano.dialogue.question import Asked
from qwen2vl_demo.nano.dialogue.scene_questions import SCENE_WEIGHTS, TEXT_WEIGHTS, ask_scene
from qwen2vl_demo.nano.dialogue.wording import a, plural, say
from qwen2vl_demo.nano.training.attention_targets import focus
from qwen2vl_demo.nano.world.drawing import draw_scene, empty_cells
from qwen2vl_demo.nano.world.layout import random_scene, random_size, random_text_scene
from qwen2vl_demo.nano.world.out_of_domain import MAIN_COLOURS, random_outside, random_outside_clip
from qwen2vl_demo.nano.world.scene import CELL, CELL_LABELS, LABEL_INDEX, SHAPES, Scene, choose

__all__ = ["CELL_LABELS", "FAMILIES", "KINDS", "Sample", "Turn", "sample"]

FAMILIES: tuple[str, ...] = (
    *("name", "shape", "colour", "count", "exists", "where", "describe", "box", "read"),
    *("chart", "pictures", "video", "followup", "chat", "limits"),
)
KINDS: tuple[str, ...] = ("scene", "text", "paper", "pictures", "clip", "chat", "limits")
_NO_PICTURE_KEYS = (
    *("describe", "what", "count all", "read", "clip", "happens", "differ", "main colour", "colour", "exists"),
    *("where", "count"),
)


def sample(
    rng: np.random.Generator,
    kind: str,
    *,
    size: tuple[int, int] | None = None,
    frames: int | None = None,
    turns: int = 6,
    phrasings: str = "train",
) -> Sample:
    """One conversation of exactly `turns` turns.

    `size` fixes the (height, width) of every medium and `frames` a clip's frames (even); both are drawn if None.
    `phrasings` is "train", "held_out" (wordings never seen in training) or "all". ValueError for an unknown kind.
    """
    if kind not in _MAKERS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if size is not None and (min(size) < 3 * CELL or size[0] % CELL or size[1] % CELL):
        raise ValueError(f"size must be multiples of {CELL} px from {3 * CELL} on, not {size}")
    if frames is not None and (frames < 4 or frames % 2):
        raise ValueError(f"frames must be even and at least 4, not {frames}")
    return _MAKERS[kind](rng, size, frames, turns, phrasings)


def _one_picture(rng: np.random.Generator, scene: Scene, weights: dict[str, int], turns: int, phrasings: str) -> Sample:
    """A conversation about one scene; a quarter of the turns lean on the turn before, and some say thanks."""
    pixels, cells = draw_scene(scene, rng)
    made: list[Turn] = []
    asked: Asked | None = None
    seen: set[tuple[str, str]] = set()
    while len(made) < turns:
        following = follow_up(rng, scene, asked, phrasings) if asked and rng.random() < 0.25 else None
        if following is None and made and rng.random() < 0.02:
            made.append(make_turn(_chat(rng, phrasings, topics=(0, 1, 2, 3))))
            asked = None
            continue
        fresh = following or ask_scene(rng, scene, weights, phrasings)
        for _ in range(4):
            if following or (fresh.family, fresh.answer) not in seen:
                break
            fresh = ask_scene(rng, scene, weights, phrasings)
        asked = fresh
        seen.add((asked.family, asked.answer))
        made.append(make_turn(asked, () if made else (0,), focus=focus(scene, asked)))
    return Sample((pixels,), tuple(made), ((cells,),))


def _scene(rng: np.random.Generator, size: tuple[int, int] | None, _: int | None, turns: int, phrasings: str) -> Sample:
    return _one_picture(rng, random_scene(rng, size or random_size(rng)), SCENE_WEIGHTS, turns, phrasings)


def _text(rng: np.random.Generator, size: tuple[int, int] | None, _: int | None, turns: int, phrasings: str) -> Sample:
    return _one_picture(rng, random_text_scene(rng, size or random_size(rng)), TEXT_WEIGHTS, turns, phrasings)


def _chat(rng: np.random.Generator, phrasings: str, topics: tuple[int, ...] | None = None) -> Asked:
    index = (
        choose(rng, topics) if topics else int(rng.choice(len(CHAT), p=(0.12, 0.18, 0.13, 0.1, 0.06, 0.07, 0.09, 0.25)))
    )
    questions, answer = CHAT[index]
    return Asked(say(rng, questions, phrasings), answer, "chat", len(CHAT) + 1)


def _chats(rng: np.random.Generator, _: tuple[int, int] | None, __: int | None, turns: int, phrasings: str) -> Sample:
    made: list[Turn] = []
    while len(made) < turns:
        if rng.random() < 0.2:
            name = choose(rng, SHAPES)
            question = say(
                rng, PHRASES[choose(rng, _NO_PICTURE_KEYS)], phrasings, name=name, names=plural(name), a=a(name)
            )
            made.append(Turn(question, NO_PICTURE, "chat", (), len(CHAT) + 1))
        else:
            made.append(make_turn(_chat(rng, phrasings)))
    return Sample((), tuple(made), ())


def _limits(
    rng: np.random.Generator, size: tuple[int, int] | None, frames: int | None, turns: int, phrasings: str
) -> Sample:
    """A conversation about a picture or, one in four, a clip that nano should not know."""
    height, width = size or random_size(rng)
    pairs = (frames or 4) // 2 if rng.random() < 0.25 else 0
    pixels, colour = random_outside_clip(rng, 2 * pairs, height, width) if pairs else random_outside(rng, height, width)
    cells = (empty_cells((height // CELL, width // CELL), LABEL_INDEX["other"]),) * max(1, pairs)
    unknown = PHRASES["limits"]
    if pairs:
        unknown += PHRASES["clip"] + tuple(wording for wording in PHRASES["happens"] if "{name}" not in wording)
    main = f"The main colour is {colour}." if colour else "It has several colours."
    made: list[Turn] = []
    while len(made) < turns:
        dice, name, chance = rng.random(), choose(rng, SHAPES), len(MAIN_COLOURS) + 1
        if dice < 0.5:
            turn = Turn(say(rng, unknown, phrasings), f"{OUTSIDE} {main}", "limits", (), chance)
        elif dice < 0.7:
            turn = Turn(say(rng, PHRASES["main colour"], phrasings), main, "limits", (), chance)
        elif dice < 0.8:
            turn = Turn(say(rng, PHRASES["exists"], phrasings, a=a(name)), f"No, there is no {name}.", "exists", (), 2)
        elif dice < 0.85:
            turn = Turn(say(rng, PHRASES["colour"], phrasings, name=name), f"There is no {name}.", "colour", (), 9)
        elif dice < 0.95:
            turn = Turn(say(rng, PHRASES["count all"], phrasings), "There are no shapes.", "count", (), 7)
        else:
            turn = Turn(say(rng, PHRASES["read"], phrasings), "There is no text.", "read", (), 130)
        if any(turn.question == earlier.question for earlier in made) and rng.random() < 0.9:
            continue
        made.append(turn if made else replace(turn, media=(0,)))
    return Sample((pixels,), tuple(made), (cells,))


_Maker = Callable[[np.random.Generator, tuple[int, int] | None, int | None, int, str], Sample]
_MAKERS: dict[str, _Maker] = {
    "scene": _scene,
    "text": _text,
    "paper": paper_conversation,
    "pictures": pictures_conversation,
    "clip": clip_conversation,
    "chat": _chats,
    "limits": _limits,
}
