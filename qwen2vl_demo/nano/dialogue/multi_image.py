"""Conversations about two or three pictures: which one has it, how many in all, what differs, and "in the first one?".

Contract: every picture is a scene of its own; questions about one of them name it ("the second picture"), except right
after a new picture came. This module draws through draw.py and knows the scenes, never the pixels.
"""

import re
from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.dialogue.conversations import Sample, Turn, make_turn
from qwen2vl_demo.nano.dialogue.phrases import PHRASES
from qwen2vl_demo.nano.dialogue.question import Asked, describe, kinds_like
from qwen2vl_demo.nano.dialogue.scene_questions import SCENE_WEIGHTS, ask_scene
from qwen2vl_demo.nano.dialogue.wording import a, count_sentence, say
from qwen2vl_demo.nano.training.attention_targets import Focus, focus
from qwen2vl_demo.nano.world.drawing import draw_scene
from qwen2vl_demo.nano.world.layout import (
    CLOSE_UPS,
    in_reading_order,
    place_things,
    random_background,
    random_names,
    random_scene,
    random_size,
)
from qwen2vl_demo.nano.world.scene import Scene, choose

_NTH = ("first", "second", "third", "fourth")


def _pair_scene(rng: np.random.Generator, size: tuple[int, int], names: list[tuple[str, str]] | None) -> Scene:
    """One of several pictures: up to three things, or exactly the named ones."""
    if names is None:
        return random_scene(rng, size, most=3)
    background = random_background(rng, dark_share=0.0)
    things = place_things(rng, *size, names, close_up=bool(rng.random() < CLOSE_UPS))
    return Scene(*size, background, in_reading_order(size[0], things))


def pictures_conversation(
    rng: np.random.Generator, size: tuple[int, int] | None, _: int | None, turns: int, phrasings: str
) -> Sample:
    """Two or three pictures at once, or one and then another one in a later turn."""
    count = 3 if rng.random() < 0.3 else 2
    compare = count == 2 and rng.random() < 0.35
    names: list[list[tuple[str, str]] | None] = [None] * count
    if compare:
        first = second = random_names(rng, 1, dark=False)[0]
        if rng.random() < 0.7:
            second = random_names(rng, 1, dark=False)[0]
            if first[0] and second[0]:  # two shapes often share one of the two
                second = (first[0], second[1]) if rng.random() < 0.5 else (second[0], first[1])
        names = [[first], [second]]
    scenes = [_pair_scene(rng, size or random_size(rng, 16, 36, (3, 7)), n) for n in names]
    late = turns >= 3 and rng.random() < 0.3
    shown = count - 1 if late else count
    arrives = int(rng.integers(1, turns - 1)) if late else 0
    drawn = [draw_scene(scene, rng) for scene in scenes]
    made: list[Turn] = []
    asked: tuple[Asked, int] | None = None
    while len(made) < turns:
        media = () if made else tuple(range(shown))
        if late and len(made) == arrives:
            question = say(rng, PHRASES["new picture"], phrasings)
            described = Asked(question, describe(scenes[-1]), "describe", 10**3)
            made.append(make_turn(described, (shown,), "followup", focus(scenes[-1], described, shown)))
            shown, asked = count, None
            continue
        if shown == 1:
            alone = ask_scene(rng, scenes[0], SCENE_WEIGHTS, phrasings)
            made.append(make_turn(alone, media, focus=focus(scenes[0], alone)))
            continue
        if asked and rng.random() < 0.3:
            turn, asked = _and_nth(rng, scenes[:shown], asked, phrasings)
            if turn:
                made.append(turn)
                continue
        if compare and rng.random() < 0.5:
            made.append(replace(_compare(rng, scenes, phrasings), media=media))
        elif rng.random() < 0.55:
            asked = _about_nth(rng, scenes[:shown], phrasings)
            made.append(make_turn(asked[0], media, "pictures", focus(scenes[asked[1]], *asked)))
        else:
            made.append(replace(_across(rng, scenes[:shown], phrasings), media=media))
    return Sample(tuple(p for p, _ in drawn), tuple(made), tuple((c,) for _, c in drawn))


def _compare(rng: np.random.Generator, scenes: list[Scene], phrasings: str) -> Turn:
    first, second = (scene.things[0].name for scene in scenes)
    same, question = first == second, say(rng, PHRASES["differ"], phrasings)
    short = rng.random() < 0.6
    if not short:
        question = say(rng, PHRASES["same"], phrasings)
    # One after the other, so that nano need not know both before it names the first.
    answer = f"The first picture shows {a(first)} and "
    answer += "so does the second." if same else f"the second shows {a(second)}."
    if not short:
        answer = f"Yes, both pictures show {a(first)}." if same else f"No, t{answer[1:]}"
    turning = answer.find(" and ") + 4 if " and " in answer else -1
    parts = [(0, turning, 0), (turning, len(answer), 1)] if turning > 0 else [(0, len(answer), i) for i in (0, 1)]
    rests = tuple(
        replace(focus(scene, Asked("", scene.things[0].name, "", 1), i)[0], start=start, end=end)
        for (start, end, i), scene in ((part, scenes[part[2]]) for part in parts)
    )
    return Turn(question, answer, "pictures", (), 64 if short else 2, rests)


def _about_nth(rng: np.random.Generator, scenes: list[Scene], phrasings: str) -> tuple[Asked, int]:
    """A question about one of several pictures, which it names."""
    index = int(rng.integers(len(scenes)))
    nth = _NTH[index]
    if rng.random() < 0.35:
        question = say(rng, PHRASES["in picture"], phrasings, nth=nth, n=str(index + 1))
        return Asked(question, describe(scenes[index]), "pictures", 10**3, ("describe",)), index
    asked = ask_scene(
        rng, scenes[index], {"name": 3, "shape": 2, "colour": 3, "count": 3, "exists": 2, "where": 2}, phrasings
    )
    text, named = re.subn(r"(?i)\b(?:the|this) (picture|image)\b", rf"the {nth} \1", asked.question)
    if not named and ("picture" in text.lower() or rng.random() < 0.3):
        text = f"In the {nth} picture, {text[0].lower() + text[1:]}"
    elif not named:
        body = text.rstrip("?.!")
        text = f"{body} in the {nth} picture{text[len(body) :]}"
    return replace(asked, question=text), index


def _and_nth(
    rng: np.random.Generator, scenes: list[Scene], before: tuple[Asked, int], phrasings: str
) -> tuple[Turn | None, tuple[Asked, int] | None]:
    """The last question again, about another picture ("and in the first picture?")."""
    asked, old = before
    index = int(rng.choice([i for i in range(len(scenes)) if i != old]))
    scene, kind = scenes[index], asked.about[0] if asked.about else ""
    if kind == "describe":
        answer, choices = describe(scene), 10**3
    elif kind == "colour" and sum(t.shape == asked.about[1].shape for t in scene.things) < 2:
        shape = asked.about[1].shape
        same = [t for t in scene.things if t.shape == shape]
        answer, choices = (f"The {shape} is {same[0].colour}." if same else f"There is no {shape}."), 9
    elif asked.family == "count" and not asked.about:
        asks_shapes = "shape" in asked.answer
        answer = count_sentence(len(scene.shapes if asks_shapes else scene.things), "shape" if asks_shapes else "thing")
        choices = 7
    else:
        return None, None
    question = say(rng, PHRASES["and nth"], phrasings, nth=_NTH[index])
    rests = focus(scene, Asked(question, answer, "followup", choices), index)
    return Turn(question, answer, "followup", (), choices, rests), (asked, index)


def _across(rng: np.random.Generator, scenes: list[Scene], phrasings: str) -> Turn:
    """A question whose answer needs all the pictures: which one has it, or how many in all."""
    if rng.random() < 0.35:
        noun = "shape" if all(scene.noun == "shape" for scene in scenes) else "thing"
        total = sum(len(scene.things) for scene in scenes)
        answer = f"There {'is' if total == 1 else 'are'} {total} {noun}{'' if total == 1 else 's'} in total."
        wordings = tuple(p for p in PHRASES["count pictures"] if len(scenes) == 2 or "both" not in p)
        if noun == "thing":
            wordings = tuple(p.replace("shapes", "things") for p in wordings)
        question = say(rng, wordings, phrasings)
        return Turn(question, answer, "pictures", (), 3 * len(scenes), _everywhere(scenes, answer, answer))
    scene = choose(rng, scenes)
    thing = choose(rng, scene.things)
    name = thing.shape if rng.random() < 0.7 else thing.name
    if rng.random() < 0.12:
        name = choose(rng, kinds_like(rng, scene.things))
    has = [i for i, s in enumerate(scenes) if any(name in (t.shape, t.name) for t in s.things)]
    if not has:
        answer = f"No picture has {a(name)}."
    else:  # one after the other, so that nano need not know the last before it names the first
        others = [_NTH[i] for i in has[1:]]
        answer = f"The {_NTH[has[0]]} picture has {a(name)}"
        if others:
            answer += f" and so {'does' if len(others) == 1 else 'do'} the {' and the '.join(others)}"
        answer += "."
    question = say(rng, PHRASES["which picture"], phrasings, a=a(name))
    return Turn(question, answer, "pictures", (), len(scenes), _everywhere(scenes, name, answer))


def _everywhere(scenes: list[Scene], name: str, answer: str) -> tuple[Focus, ...]:
    """The whole answer rests on all that `name` speaks of, in every picture."""
    found = [focus(scene, Asked("", name, "", 1), i) for i, scene in enumerate(scenes)]
    return tuple(replace(part, start=0, end=len(answer)) for parts in found for part in parts)
