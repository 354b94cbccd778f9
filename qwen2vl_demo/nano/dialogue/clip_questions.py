"""Dialogues about one clip: direction of motion, what happens and when, colours, counts.

Answers are derived from the `DrawnClip`, the ground truth of all frames, never from the pixels.
"""

from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.dialogue.attention_targets import clip_attention_targets
from qwen2vl_demo.nano.dialogue.dialogue import Dialogue, DialogueTurn
from qwen2vl_demo.nano.dialogue.phrases import PHRASES
from qwen2vl_demo.nano.dialogue.referring_expressions import absent_kind, exists_answer
from qwen2vl_demo.nano.dialogue.wording import count_sentence, random_wording, with_article
from qwen2vl_demo.nano.world.clips import DIRECTIONS, DrawnClip, draw_clip, random_clip
from qwen2vl_demo.nano.world.layout import random_size
from qwen2vl_demo.nano.world.scene import Scene, Thing, choose


def event_sentence(clip: DrawnClip) -> str:
    """A sentence that says what the acting thing does."""
    name = clip.actor.name
    if clip.action in DIRECTIONS:
        return f"The {name} moves {_direction_phrase(clip.action)}."
    if clip.action == "turns":
        return f"The {name} turns {clip.last.colour}."
    if clip.action == "back":
        return f"The {name} moves {_direction_phrase(clip.direction)} and back."
    if clip.action == "blinks":
        return f"The {name} blinks {times_phrase(clip.blinks)}."
    if clip.second and clip.action.endswith("in turn"):
        return f"First the {name} {clip.action.split()[0]}s, then the {clip.second.name}."
    if clip.action == "appears":
        return f"A{with_article(name)[1:]} appears."
    return f"The {name} stays still." if clip.action == "still" else f"The {name} {clip.action}."


def times_phrase(count: int) -> str:
    return f"{count} time{'s' * (count > 1)}"


def _direction_phrase(action: str) -> str:
    return f"to the {action}" if action in ("left", "right") else action


def clip_dialogue(
    rng: np.random.Generator, size: tuple[int, int] | None, frames: int | None, turns: int, split: str
) -> Dialogue:
    """A dialogue about one random clip; arguments as of `generator.random_dialogue`."""
    clip = random_clip(rng, size or random_size(rng, 9, 25, (3, 5)), frames or 2 * int(rng.integers(2, 5)))
    pixels, cells = draw_clip(clip, rng)
    made: list[DialogueTurn] = []
    while len(made) < turns:
        turn = _clip_turn(rng, clip, split)
        for _ in range(3):  # repeating an earlier answer teaches little
            if all(turn.answer != earlier.answer for earlier in made):
                break
            turn = _clip_turn(rng, clip, split)
        targets = clip_attention_targets(cells, _mentioned_labels(clip, turn.answer), turn.answer)
        made.append(replace(turn, media=() if made else (0,), attention_targets=targets))
    return Dialogue((pixels,), tuple(made), (cells,))


def _mentioned_labels(clip: DrawnClip, answer: str) -> set[int]:
    """The cell labels of the things that an answer mentions, in all their colours."""
    seen = [[t for t in track if t is not None] for track in clip.tracks]
    return {
        t.label
        for track in seen
        if any(t.shape in answer for t in track) or "shape" in answer or "thing" in answer
        for t in track
    }


def _clip_turn(rng: np.random.Generator, clip: DrawnClip, split: str) -> DialogueTurn:
    actor, bystander, dice = clip.actor, clip.bystander, rng.random()
    things: list[Thing] = [t for t in (actor, clip.second) if t]
    back = clip.action == "back"
    moving, event = clip.action in DIRECTIONS or back, event_sentence(clip)

    def turn(key: str, answer: str, plausible_answers: int, **fields: str) -> DialogueTurn:
        return DialogueTurn(random_wording(rng, PHRASES[key], split, **fields), answer, "video", (), plausible_answers)

    name = actor.shape
    if dice < 0.26:
        return turn("happens", event, 10, name=name)
    if clip.action.endswith("in turn"):
        if dice < 0.5:
            return turn("order", event, 2, does=clip.action.split()[0])
        dice = 0.6 + 0.4 * rng.random()
    if clip.action in ("appears", "disappears", "turns") and dice < 0.42:
        verb = f"turn {clip.last.colour}" if clip.action == "turns" else clip.action[:-1]
        answer = f"The {name} {verb.replace('turn', 'turns') if clip.action == 'turns' else clip.action} {clip.moment}."
        wordings = tuple(p for p in PHRASES["when"] if "{name}" in p)
        return DialogueTurn(random_wording(rng, wordings, split, name=name, does=verb), answer, "video", (), 3)
    if dice < 0.42 and (clip.action == "blinks" or rng.random() < 0.05) and clip.action not in ("disappears", "still"):
        answer = f"The {name} blinks {times_phrase(clip.blinks)}." if clip.blinks else f"The {name} does not disappear."
        return turn("times", answer, 3, name=name)
    if dice < 0.5:
        thing = choose(rng, things) if rng.random() < 0.3 else actor
        if moving and thing is actor:
            direction = f"{_direction_phrase(clip.direction)} and back" if back else _direction_phrase(clip.action)
            return turn("way", f"The {name} moves {direction}.", 4, name=name)
        return turn("way", f"The {thing.shape} does not move.", 5, name=thing.shape)
    if dice < 0.6:
        return turn(
            "moves",
            ("Yes, t" if moving else "No, t") + (event[1:] if moving else "he " + name + " does not move."),
            2,
            name=name,
        )
    if dice < 0.72:
        rest = f" The {bystander.name} stays still." if bystander else ""
        return turn("clip", event + rest, 640)
    if dice < 0.84 and any(t.colour for t in things):
        thing = choose(rng, [t for t in things if t.colour])
        recoloured = thing is actor and clip.action == "turns"
        answer = f"The {thing.shape} is {thing.colour}" + (
            f" first and {clip.last.colour} at the end." if recoloured else "."
        )
        return turn("colour", answer, 8, name=thing.shape)
    if dice < 0.92:
        present = rng.random() < 0.5
        scene = Scene(clip.height, clip.width, clip.background, tuple(things))
        shape = choose(rng, things).shape if present else absent_kind(rng, scene)
        return turn("exists", exists_answer(scene, shape), 2, a=with_article(shape))
    noun = "shape" if all(t.colour for t in things) else "thing"
    wordings = tuple(p for p in PHRASES["count all"] if noun == "shape" or "shapes" not in p)
    return DialogueTurn(random_wording(rng, wordings, split), count_sentence(len(things), noun), "video", (), 2)
