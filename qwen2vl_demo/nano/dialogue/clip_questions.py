"""Conversations about one clip: which way it moves, what happens, what colour it is.

Contract: answers are read off the `Clip`, the truth about all frames, never off the pixels.
"""

from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.dialogue.conversations import Sample, Turn
from qwen2vl_demo.nano.dialogue.phrases import PHRASES
from qwen2vl_demo.nano.dialogue.question import absent_kind, exists_answer
from qwen2vl_demo.nano.dialogue.wording import a, count_sentence, say
from qwen2vl_demo.nano.training.attention_targets import clip_focus
from qwen2vl_demo.nano.world.clips import DIRECTIONS, Clip, draw_clip, random_clip
from qwen2vl_demo.nano.world.layout import random_size
from qwen2vl_demo.nano.world.scene import Scene, Thing, choose


def happening(clip: Clip) -> str:
    """What the acting thing does, as a sentence."""
    name = clip.actor.name
    if clip.action in DIRECTIONS:
        return f"The {name} moves {_way(clip.action)}."
    if clip.action == "turns":
        return f"The {name} turns {clip.last.colour}."
    if clip.action == "back":
        return f"The {name} moves {_way(clip.way)} and back."
    if clip.action == "blinks":
        return f"The {name} blinks {times(clip.blinks)}."
    if clip.second and clip.action.endswith("in turn"):
        return f"First the {name} {clip.action.split()[0]}s, then the {clip.second.name}."
    if clip.action == "appears":
        return f"A{a(name)[1:]} appears."
    return f"The {name} stays still." if clip.action == "still" else f"The {name} {clip.action}."


def times(count: int) -> str:
    return f"{count} time{'s' * (count > 1)}"


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
    return {
        t.label
        for track in seen
        if any(t.shape in answer for t in track) or "shape" in answer or "thing" in answer
        for t in track
    }


def _ask_clip(rng: np.random.Generator, clip: Clip, phrasings: str) -> Turn:
    actor, still, dice = clip.actor, clip.bystander, rng.random()
    things: list[Thing] = [t for t in (actor, clip.second) if t]
    back = clip.action == "back"
    moving, does = clip.action in DIRECTIONS or back, happening(clip)

    def turn(key: str, answer: str, choices: int, **fields: str) -> Turn:
        return Turn(say(rng, PHRASES[key], phrasings, **fields), answer, "video", (), choices)

    name = actor.shape
    if dice < 0.26:
        return turn("happens", does, 10, name=name)
    if clip.action.endswith("in turn"):
        if dice < 0.5:
            return turn("order", does, 2, does=clip.action.split()[0])
        dice = 0.6 + 0.4 * rng.random()
    if clip.action in ("appears", "disappears", "turns") and dice < 0.42:
        verb = f"turn {clip.last.colour}" if clip.action == "turns" else clip.action[:-1]
        answer = f"The {name} {verb.replace('turn', 'turns') if clip.action == 'turns' else clip.action} {clip.moment}."
        wordings = tuple(p for p in PHRASES["when"] if "{name}" in p)
        return Turn(say(rng, wordings, phrasings, name=name, does=verb), answer, "video", (), 3)
    if dice < 0.42 and (clip.action == "blinks" or rng.random() < 0.05) and clip.action not in ("disappears", "still"):
        answer = f"The {name} blinks {times(clip.blinks)}." if clip.blinks else f"The {name} does not disappear."
        return turn("times", answer, 3, name=name)
    if dice < 0.5:
        asked = choose(rng, things) if rng.random() < 0.3 else actor
        if moving and asked is actor:
            way = f"{_way(clip.way)} and back" if back else _way(clip.action)
            return turn("way", f"The {name} moves {way}.", 4, name=name)
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
    if dice < 0.84 and any(t.colour for t in things):
        asked = choose(rng, [t for t in things if t.colour])
        turned = asked is actor and clip.action == "turns"
        answer = f"The {asked.shape} is {asked.colour}" + (
            f" first and {clip.last.colour} at the end." if turned else "."
        )
        return turn("colour", answer, 8, name=asked.shape)
    if dice < 0.92:
        there = rng.random() < 0.5
        truth = Scene(clip.height, clip.width, clip.background, tuple(things))
        shape = choose(rng, things).shape if there else absent_kind(rng, truth)
        return turn("exists", exists_answer(truth, shape), 2, a=a(shape))
    noun = "shape" if all(t.colour for t in things) else "thing"
    wordings = tuple(p for p in PHRASES["count all"] if noun == "shape" or "shapes" not in p)
    return Turn(say(rng, wordings, phrasings), count_sentence(len(things), noun), "video", (), 2)
