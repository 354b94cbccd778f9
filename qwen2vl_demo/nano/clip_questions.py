"""Conversations about one clip: which way it moves, what happens, what colour it is.

Contract: answers are read off the `Clip`, the truth about all frames, never off the pixels.
"""

from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.clips import DIRECTIONS, Clip, draw_clip, random_clip
from qwen2vl_demo.nano.focus import clip_focus
from qwen2vl_demo.nano.phrases import PHRASES
from qwen2vl_demo.nano.questions import exists_answer
from qwen2vl_demo.nano.scene import SHAPES, Scene, Thing, choose, random_size
from qwen2vl_demo.nano.turns import Sample, Turn
from qwen2vl_demo.nano.words import a, count_sentence, say


def happening(clip: Clip) -> str:
    """What the acting thing does, as a sentence."""
    name = clip.actor.name
    if clip.action in DIRECTIONS:
        return f"The {name} moves {_way(clip.action)}."
    if clip.action == "turns":
        return f"The {name} turns {clip.last.colour}."
    if clip.action == "appears":
        return f"A{a(name)[1:]} appears."
    return f"The {name} stays still." if clip.action == "still" else f"The {name} {clip.action}."


def _way(action: str) -> str:
    return f"to the {action}" if action in ("left", "right") else action


def clip_conversation(
    rng: np.random.Generator, size: tuple[int, int] | None, frames: int | None, turns: int, phrasings: str
) -> Sample:
    clip = random_clip(rng, size or random_size(rng, 9, 25, (3, 5)), frames or 2 * int(rng.integers(2, 5)))
    pixels, cells = draw_clip(clip, rng)
    made: list[Turn] = []
    while len(made) < turns:
        turn = _ask_clip(rng, clip, phrasings)
        for _ in range(3):  # an answer that was given already teaches little
            if all(turn.answer != earlier.answer for earlier in made):
                break
            turn = _ask_clip(rng, clip, phrasings)
        rests = clip_focus(cells, _shown(clip, turn.answer), turn.answer)
        made.append(replace(turn, media=() if made else (0,), focus=rests))
    return Sample((pixels,), tuple(made), (cells,))


def _shown(clip: Clip, answer: str) -> set[int]:
    """The cell labels of the things that an answer speaks of, in all their colours."""
    seen = [[t for t in track if t is not None] for track in clip.tracks]
    return {t.label for track in seen if any(t.shape in answer for t in track) or "shape" in answer for t in track}


def _ask_clip(rng: np.random.Generator, clip: Clip, phrasings: str) -> Turn:
    actor, still, dice = clip.actor, clip.bystander, rng.random()
    things: list[Thing] = [t for t in (actor, still) if t]
    moving, does = clip.action in DIRECTIONS, happening(clip)

    def turn(key: str, answer: str, choices: int, **fields: str) -> Turn:
        return Turn(say(rng, PHRASES[key], phrasings, **fields), answer, "video", (), choices)

    name = actor.shape
    if dice < 0.3:
        return turn("happens", does, 10, name=name)
    if dice < 0.5:
        asked = choose(rng, things) if rng.random() < 0.3 else actor
        if moving and asked is actor:
            return turn("way", f"The {name} moves {_way(clip.action)}.", 4, name=name)
        return turn("way", f"The {asked.shape} does not move.", 5, name=asked.shape)
    if dice < 0.6:
        return turn(
            "moves",
            ("Yes, t" if moving else "No, t") + (does[1:] if moving else "he " + name + " does not move."),
            2,
            name=name,
        )
    if dice < 0.72:
        rest = f" The {still.name} stays still." if still else ""
        return turn("clip", does + rest, 640)
    if dice < 0.84:
        asked = choose(rng, things)
        turned = asked is actor and clip.action == "turns"
        answer = f"The {asked.shape} is {asked.colour}" + (
            f" first and {clip.last.colour} at the end." if turned else "."
        )
        return turn("colour", answer, 8, name=asked.shape)
    if dice < 0.92:
        there = rng.random() < 0.5
        shape = (
            choose(rng, things).shape
            if there
            else choose(rng, [s for s in SHAPES if all(t.shape != s for t in things)])
        )
        truth = Scene(clip.height, clip.width, clip.background, tuple(things))
        return turn("exists", exists_answer(truth, shape), 2, a=a(shape))
    return turn("count all", count_sentence(len(things), "shape"), 2)
