"""Dialogues about two or three pictures: which one has it, how many in all, what differs, "and in the first one?".

Every picture is a scene of its own. A question about one of them names it ("the second picture"), except in the turn
that brings a new picture. Answers are derived from the scenes, never from the pixels.
"""

import re
from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.dialogue.attention_targets import scene_attention_targets
from qwen2vl_demo.nano.dialogue.dialogue import AttentionTarget, Dialogue, DialogueTurn, Question
from qwen2vl_demo.nano.dialogue.phrases import PHRASES
from qwen2vl_demo.nano.dialogue.referring_expressions import describe_scene, similar_kinds
from qwen2vl_demo.nano.dialogue.scene_questions import SCENE_WEIGHTS, random_scene_question
from qwen2vl_demo.nano.dialogue.wording import count_sentence, random_wording, with_article
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
    """The scene of one picture: up to three random things, or exactly the named ones."""
    if names is None:
        return random_scene(rng, size, max_things=3)
    background = random_background(rng, dark_share=0.0)
    things = place_things(rng, *size, names, close_up=bool(rng.random() < CLOSE_UPS))
    return Scene(*size, background, in_reading_order(size[0], things))


def multi_image_dialogue(
    rng: np.random.Generator, size: tuple[int, int] | None, _: int | None, turns: int, split: str
) -> Dialogue:
    """A dialogue about two or three pictures, of which the last may arrive in a later turn.

    Arguments as of `generator.random_dialogue`.
    """
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
    made: list[DialogueTurn] = []
    previous: tuple[Question, int] | None = None  # the last question about one picture, and which picture
    while len(made) < turns:
        media = () if made else tuple(range(shown))
        if late and len(made) == arrives:
            text = random_wording(rng, PHRASES["new picture"], split)
            question = Question(text, describe_scene(scenes[-1]), "describe", 10**3)
            targets = scene_attention_targets(scenes[-1], question, shown)
            made.append(DialogueTurn.from_question(question, (shown,), family="followup", attention_targets=targets))
            shown, previous = count, None
            continue
        if shown == 1:
            question = random_scene_question(rng, scenes[0], SCENE_WEIGHTS, split)
            targets = scene_attention_targets(scenes[0], question)
            made.append(DialogueTurn.from_question(question, media, attention_targets=targets))
            continue
        if previous and rng.random() < 0.3:
            turn, previous = _and_nth(rng, scenes[:shown], previous, split)
            if turn:
                made.append(turn)
                continue
        if compare and rng.random() < 0.5:
            made.append(replace(_compare(rng, scenes, split), media=media))
        elif rng.random() < 0.55:
            question, index = previous = _about_nth(rng, scenes[:shown], split)
            targets = scene_attention_targets(scenes[index], question, index)
            made.append(DialogueTurn.from_question(question, media, family="pictures", attention_targets=targets))
        else:
            made.append(replace(_across(rng, scenes[:shown], split), media=media))
    return Dialogue(tuple(p for p, _ in drawn), tuple(made), tuple((c,) for _, c in drawn))


def _compare(rng: np.random.Generator, scenes: list[Scene], split: str) -> DialogueTurn:
    """What differs between two pictures of one thing each, or whether they show the same."""
    first, second = (scene.things[0].name for scene in scenes)
    same, question = first == second, random_wording(rng, PHRASES["differ"], split)
    short = rng.random() < 0.6
    if not short:
        question = random_wording(rng, PHRASES["same"], split)
    # In sequence, so that nano need not know both things before it names the first.
    answer = f"The first picture shows {with_article(first)} and "
    answer += "so does the second." if same else f"the second shows {with_article(second)}."
    if not short:
        answer = f"Yes, both pictures show {with_article(first)}." if same else f"No, t{answer[1:]}"
    second_clause = answer.find(" and ") + 4 if " and " in answer else -1
    parts = [(0, len(answer), 0), (0, len(answer), 1)]
    if second_clause > 0:
        parts = [(0, second_clause, 0), (second_clause, len(answer), 1)]
    targets = tuple(
        replace(scene_attention_targets(scene, Question("", scene.things[0].name, "", 1), i)[0], start=start, end=end)
        for (start, end, i), scene in ((part, scenes[part[2]]) for part in parts)
    )
    return DialogueTurn(question, answer, "pictures", (), 64 if short else 2, targets)


def _about_nth(rng: np.random.Generator, scenes: list[Scene], split: str) -> tuple[Question, int]:
    """A question that names the picture it is about, and the index of that picture."""
    index = int(rng.integers(len(scenes)))
    nth = _NTH[index]
    if rng.random() < 0.35:
        text = random_wording(rng, PHRASES["in picture"], split, nth=nth, n=str(index + 1))
        return Question(text, describe_scene(scenes[index]), "pictures", 10**3, ("describe",)), index
    question = random_scene_question(
        rng, scenes[index], {"name": 3, "shape": 2, "colour": 3, "count": 3, "exists": 2, "where": 2}, split
    )
    text, replaced = re.subn(r"(?i)\b(?:the|this) (picture|image)\b", rf"the {nth} \1", question.text)
    if not replaced and ("picture" in text.lower() or rng.random() < 0.3):
        text = f"In the {nth} picture, {text[0].lower() + text[1:]}"
    elif not replaced:
        body = text.rstrip("?.!")
        text = f"{body} in the {nth} picture{text[len(body) :]}"
    return replace(question, text=text), index


def _and_nth(
    rng: np.random.Generator, scenes: list[Scene], previous: tuple[Question, int], split: str
) -> tuple[DialogueTurn | None, tuple[Question, int] | None]:
    """The previous question again, about another picture ("and in the first picture?").

    The turn, or None if the question cannot be repeated, and the new value of `previous`.
    """
    question, old_index = previous
    index = int(rng.choice([i for i in range(len(scenes)) if i != old_index]))
    scene, kind = scenes[index], question.about[0] if question.about else ""
    if kind == "describe":
        answer, plausible_answers = describe_scene(scene), 10**3
    elif kind == "colour" and sum(t.shape == question.about[1].shape for t in scene.things) < 2:
        shape = question.about[1].shape
        same = [t for t in scene.things if t.shape == shape]
        answer, plausible_answers = (f"The {shape} is {same[0].colour}." if same else f"There is no {shape}."), 9
    elif question.family == "count" and not question.about:
        shapes = "shape" in question.answer
        answer = count_sentence(len(scene.shapes if shapes else scene.things), "shape" if shapes else "thing")
        plausible_answers = 7
    else:
        return None, None
    text = random_wording(rng, PHRASES["and nth"], split, nth=_NTH[index])
    repeated = Question(text, answer, "followup", plausible_answers)
    targets = scene_attention_targets(scene, repeated, index)
    return DialogueTurn.from_question(repeated, attention_targets=targets), (question, index)


def _across(rng: np.random.Generator, scenes: list[Scene], split: str) -> DialogueTurn:
    """A question whose answer needs all the pictures: which of them have something, or how many there are."""
    if rng.random() < 0.35:
        noun = "shape" if all(scene.noun == "shape" for scene in scenes) else "thing"
        total = sum(len(scene.things) for scene in scenes)
        answer = f"There {'is' if total == 1 else 'are'} {total} {noun}{'' if total == 1 else 's'} in total."
        wordings = tuple(p for p in PHRASES["count pictures"] if len(scenes) == 2 or "both" not in p)
        if noun == "thing":
            wordings = tuple(p.replace("shapes", "things") for p in wordings)
        question = random_wording(rng, wordings, split)
        targets = _targets_in_all(scenes, answer, answer)
        return DialogueTurn(question, answer, "pictures", (), 3 * len(scenes), targets)
    scene = choose(rng, scenes)
    thing = choose(rng, scene.things)
    name = thing.shape if rng.random() < 0.7 else thing.name
    if rng.random() < 0.12:
        name = choose(rng, similar_kinds(rng, scene.things))
    has = [i for i, s in enumerate(scenes) if any(name in (t.shape, t.name) for t in s.things)]
    if not has:
        answer = f"No picture has {with_article(name)}."
    else:  # in sequence, so that nano need not know the last picture before it names the first
        others = [_NTH[i] for i in has[1:]]
        answer = f"The {_NTH[has[0]]} picture has {with_article(name)}"
        if others:
            answer += f" and so {'does' if len(others) == 1 else 'do'} the {' and the '.join(others)}"
        answer += "."
    question = random_wording(rng, PHRASES["which picture"], split, a=with_article(name))
    return DialogueTurn(question, answer, "pictures", (), len(scenes), _targets_in_all(scenes, name, answer))


def _targets_in_all(scenes: list[Scene], name: str, answer: str) -> tuple[AttentionTarget, ...]:
    """The whole answer depends on everything that `name` mentions, in every picture."""
    found = [scene_attention_targets(scene, Question("", name, "", 1), i) for i, scene in enumerate(scenes)]
    return tuple(replace(part, start=0, end=len(answer)) for parts in found for part in parts)
