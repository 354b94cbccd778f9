"""Nano's world: conversations about drawn scenes, signs, several pictures and short clips, with the truth known.

Contract: `sample` is the only entry point that training needs. Everything follows from the generator passed in (and
from the fonts of the machine): the same seed gives the same pixels, words and labels. Pictures and frames are RGB
uint8 with sides in multiples of 28 px, so that a merged token is a cell of 28x28 px. This module knows no model and
no tokenizer.
"""

from dataclasses import dataclass, replace

import numpy as np

from .clips import DIRECTIONS, Clip, draw_clip, random_clip
from .draw import draw_scene, random_text_scene
from .outside import MAIN_COLOURS, random_outside
from .phrases import CHAT, NO_PICTURE, OUTSIDE, PHRASES
from .questions import SCENE_WEIGHTS, TEXT_WEIGHTS, Asked, ask_scene, describe, exists_answer, follow_up
from .scene import (
    CELL,
    CELL_LABELS,
    COLOURS,
    LABEL_INDEX,
    SHAPES,
    Scene,
    Thing,
    choose,
    in_reading_order,
    place_things,
    random_background,
    random_scene,
    random_size,
)
from .words import a, count_sentence, listing, plural, say

__all__ = ["CELL_LABELS", "FAMILIES", "KINDS", "Sample", "Turn", "sample"]

FAMILIES: tuple[str, ...] = (
    *("shape", "colour", "count", "exists", "where", "describe", "box", "read"),
    *("pictures", "video", "followup", "chat", "limits"),
)
KINDS: tuple[str, ...] = ("scene", "text", "pictures", "clip", "chat", "limits")
_NO_PICTURE_KEYS = (
    *("describe", "what", "count all", "read", "clip", "happens", "differ", "main colour", "colour", "exists"),
    *("where", "count"),
)
_NTH = ("first", "second", "third", "fourth")


@dataclass(frozen=True)
class Turn:
    """One question with its answer. `media` are indices into `Sample.media` that this turn's message brings, placed
    before its text; `choices` is how many answers were equally plausible: guessing is right 1/choices of the time.
    """

    question: str
    answer: str
    family: str
    media: tuple[int, ...]
    choices: int


@dataclass(frozen=True)
class Sample:
    """One conversation. A medium is (H, W, 3) for a picture or (T, H, W, 3) for a clip, uint8, T even; `cells` holds
    per medium the (t, h, w) int64 labels of its merged tokens, indices into `CELL_LABELS`, with t = 1 for a picture.
    """

    media: tuple[np.ndarray, ...]
    turns: tuple[Turn, ...]
    cells: tuple[np.ndarray, ...]


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


def _turn(asked: Asked, media: tuple[int, ...] = (), family: str | None = None) -> Turn:
    return Turn(asked.question, asked.answer, family or asked.family, media, asked.choices)


def _one_picture(rng: np.random.Generator, scene: Scene, weights: dict[str, int], turns: int, phrasings: str) -> Sample:
    """A conversation about one scene; a quarter of the turns lean on the turn before, and some say thanks."""
    pixels, cells = draw_scene(scene, rng)
    made: list[Turn] = []
    asked: Asked | None = None
    seen: set[tuple[str, str]] = set()
    while len(made) < turns:
        following = follow_up(rng, scene, asked, phrasings) if asked and rng.random() < 0.25 else None
        if following is None and made and rng.random() < 0.02:
            made.append(_turn(_chat(rng, phrasings, topics=(0, 1, 2, 3))))
            asked = None
            continue
        fresh = following or ask_scene(rng, scene, weights, phrasings)
        for _ in range(4):
            if following or (fresh.family, fresh.answer) not in seen:
                break
            fresh = ask_scene(rng, scene, weights, phrasings)
        asked = fresh
        seen.add((asked.family, asked.answer))
        made.append(_turn(asked, () if made else (0,)))
    return Sample((pixels,), tuple(made), (cells,))


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
            made.append(_turn(_chat(rng, phrasings)))
    return Sample((), tuple(made), ())


def _limits(
    rng: np.random.Generator, size: tuple[int, int] | None, _: int | None, turns: int, phrasings: str
) -> Sample:
    height, width = size or random_size(rng)
    pixels, colour = random_outside(rng, height, width)
    cells = np.full((1, height // CELL, width // CELL), LABEL_INDEX["other"], np.int64)
    main = f"The main colour is {colour}." if colour else "It has several colours."
    made: list[Turn] = []
    while len(made) < turns:
        dice, name, chance = rng.random(), choose(rng, SHAPES), len(MAIN_COLOURS) + 1
        if dice < 0.5:
            turn = Turn(say(rng, PHRASES["limits"], phrasings), f"{OUTSIDE} {main}", "limits", (), chance)
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
        made.append(turn if made else replace(turn, media=(0,)))
    return Sample((pixels,), tuple(made), (cells,))


def _pair_scene(rng: np.random.Generator, size: tuple[int, int], names: list[tuple[str, str]] | None) -> Scene:
    """One of several pictures: up to three things, or exactly the named ones."""
    if names is None:
        return random_scene(rng, size, most=3)
    background = random_background(rng, dark_share=0.0)
    return Scene(*size, background, in_reading_order(size[0], place_things(rng, *size, names)))


def _pictures(
    rng: np.random.Generator, size: tuple[int, int] | None, _: int | None, turns: int, phrasings: str
) -> Sample:
    """Two or three pictures at once, or one and then another one in a later turn."""
    count = 3 if rng.random() < 0.3 else 2
    compare = count == 2 and rng.random() < 0.35
    names: list[list[tuple[str, str]] | None] = [None] * count
    if compare:
        first = (choose(rng, COLOURS), choose(rng, SHAPES))
        second = (
            first[0] if rng.random() < 0.5 else choose(rng, COLOURS),
            first[1] if rng.random() < 0.5 else choose(rng, SHAPES),
        )
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
            made.append(Turn(question, describe(scenes[-1]), "followup", (shown,), 10**3))
            shown, asked = count, None
            continue
        if shown == 1:
            made.append(_turn(ask_scene(rng, scenes[0], SCENE_WEIGHTS, phrasings), media))
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
            made.append(_turn(asked[0], media, "pictures"))
        else:
            made.append(replace(_across(rng, scenes[:shown], phrasings), media=media))
    return Sample(tuple(p for p, _ in drawn), tuple(made), tuple(c for _, c in drawn))


def _compare(rng: np.random.Generator, scenes: list[Scene], phrasings: str) -> Turn:
    first, second = (scene.things[0].name for scene in scenes)
    same, question = first == second, say(rng, PHRASES["differ"], phrasings)
    truth = (
        f"oth pictures show {a(first)}."
        if same
        else f"he first picture shows {a(first)} and the second shows {a(second)}."
    )
    if rng.random() < 0.6:
        return Turn(question, ("B" if same else "T") + truth, "pictures", (), 64)
    question = say(rng, PHRASES["same"], phrasings)
    return Turn(question, ("Yes, b" if same else "No, t") + truth, "pictures", (), 2)


def _about_nth(rng: np.random.Generator, scenes: list[Scene], phrasings: str) -> tuple[Asked, int]:
    """A question about one of several pictures, which it names."""
    index = int(rng.integers(len(scenes)))
    nth = _NTH[index]
    if rng.random() < 0.35:
        question = say(rng, PHRASES["in picture"], phrasings, nth=nth, n=str(index + 1))
        return Asked(question, describe(scenes[index]), "pictures", 10**3, ("describe",)), index
    asked = ask_scene(rng, scenes[index], {"shape": 2, "colour": 3, "count": 3, "exists": 2, "where": 2}, phrasings)
    text = asked.question
    if "picture" in text.lower() or "image" in text.lower() or rng.random() < 0.3:
        text = f"In the {nth} picture, {text[0].lower() + text[1:]}"
    else:
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
    elif asked.family == "count" and asked.answer.rstrip(".").endswith((" shape", " shapes")) and not asked.about:
        answer, choices = count_sentence(len(scene.things), "shape"), 7
    else:
        return None, None
    question = say(rng, PHRASES["and nth"], phrasings, nth=_NTH[index])
    return Turn(question, answer, "followup", (), choices), (asked, index)


def _across(rng: np.random.Generator, scenes: list[Scene], phrasings: str) -> Turn:
    """A question whose answer needs all the pictures: which one has it, or how many in all."""
    if rng.random() < 0.35:
        total = sum(len(scene.things) for scene in scenes)
        answer = f"There {'is' if total == 1 else 'are'} {total} shape{'' if total == 1 else 's'} in total."
        wordings = tuple(p for p in PHRASES["count pictures"] if len(scenes) == 2 or "both" not in p)
        return Turn(say(rng, wordings, phrasings), answer, "pictures", (), 3 * len(scenes))
    scene = choose(rng, scenes)
    thing = choose(rng, scene.things)
    name = choose(rng, SHAPES) if rng.random() < 0.12 else thing.shape if rng.random() < 0.7 else thing.name
    has = [i for i, s in enumerate(scenes) if any(name in (t.shape, t.name) for t in s.things)]
    if not has:
        answer = f"No picture has {a(name)}."
    elif len(has) == len(scenes):
        answer = f"{'Both' if len(has) == 2 else 'All three'} pictures have {a(name)}."
    elif len(has) == 1:
        answer = f"The {_NTH[has[0]]} picture has {a(name)}."
    else:
        answer = f"The {listing([_NTH[i] for i in has])} picture have {a(name)}."
    return Turn(say(rng, PHRASES["which picture"], phrasings, a=a(name)), answer, "pictures", (), len(scenes))


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


def _clip(
    rng: np.random.Generator, size: tuple[int, int] | None, frames: int | None, turns: int, phrasings: str
) -> Sample:
    clip = random_clip(rng, size or random_size(rng, 9, 25, (3, 5)), frames or 2 * int(rng.integers(2, 5)))
    pixels, cells = draw_clip(clip, rng)
    made: list[Turn] = []
    while len(made) < turns:
        turn = _ask_clip(rng, clip, phrasings)
        made.append(turn if made else replace(turn, media=(0,)))
    return Sample((pixels,), tuple(made), (cells,))


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


_MAKERS = {"scene": _scene, "text": _text, "pictures": _pictures, "clip": _clip, "chat": _chats, "limits": _limits}
