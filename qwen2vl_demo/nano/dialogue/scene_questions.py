"""Questions about one scene, and their one true answer, read off the scene and never off the pixels.

Contract: `ask_scene` picks a question that has exactly one answer; the same truth is always told in the same words.
What a question was about is kept as `about`, from which `follow_up` builds a question that cannot be understood
without the turn before. This module draws nothing and does not know how turns become conversations (world.py).
"""

from collections import Counter

import numpy as np

from qwen2vl_demo.nano.dialogue.phrases import PHRASES
from qwen2vl_demo.nano.dialogue.question import (
    Asked,
    absent_name,
    call,
    count_of,
    describe,
    exists_answer,
    kinds_like,
    named,
    none,
    size_word,
)
from qwen2vl_demo.nano.dialogue.wording import a, count_sentence, listing, plural, say
from qwen2vl_demo.nano.world.nouns import KIND_OF, NOUN_KINDS, NOUNS
from qwen2vl_demo.nano.world.scene import COLOURS, PLACES, SHAPES, WORDS, Scene, Thing, choose

_RELATIONS = ("to the left of", "to the right of", "above", "below")
_ASKED_RELATIONS = (
    ("left of", "to the left of"),
    ("right of", "to the right of"),
    ("above", "over"),
    ("below", "under"),
)
_DESCRIBE_CHOICES = 8 * 8 * 9


def ask_colour(rng: np.random.Generator, scene: Scene, phrasings: str) -> Asked | None:
    """The colour of a thing named by shape or place, of two of a kind, of something not there; and yes or no."""
    dice, n = rng.random(), len(COLOURS)
    absent = [s for s in SHAPES if all(t.shape != s for t in scene.things)]
    if dice < 0.1 and absent:
        name = choose(rng, absent)
        return Asked(say(rng, PHRASES["colour"], phrasings, name=name), none(name), "colour", n + 1)
    if not scene.shapes:
        return None
    shapes = Counter(t.shape for t in scene.things)
    thing = choose(rng, scene.shapes)
    if dice < 0.3 and shapes[thing.shape] == 2:
        pair = [t for t in scene.things if t.shape == thing.shape]
        first, second = (t.colour for t in pair)
        question = say(rng, PHRASES["colours"], phrasings, names=plural(thing.shape))
        # One after the other, so that nano need not know both before it says the first.
        answer = f"One is {first} and {'so is the other' if first == second else f'one is {second}'}."
        return Asked(question, answer, "colour", n * (n + 1) // 2, ("pair", *pair))
    if dice < 0.42:
        place = scene.place(thing)
        if sum(scene.place(t) == place for t in scene.things) == 1:
            question = say(rng, PHRASES["colour at"], phrasings, place=place)
            return Asked(question, f"It is {thing.colour}.", "colour", n, ("thing", thing))
    if shapes[thing.shape] > 1:
        return None
    if dice < 0.62:
        right = rng.random() < 0.5
        asked = thing.colour if right else choose(rng, [c for c in COLOURS if c != thing.colour])
        question = say(rng, PHRASES["is colour"], phrasings, name=thing.shape, colour=asked)
        answer = f"{'Yes' if right else 'No'}, the {thing.shape} is {thing.colour}."
        return Asked(question, answer, "colour", 2, ("thing", thing))
    if len(scene.things) == 1 and rng.random() < 0.25:
        return Asked(say(rng, PHRASES["it colour"], phrasings), f"It is {thing.colour}.", "colour", n, ("thing", thing))
    question = say(rng, PHRASES["colour"], phrasings, name=thing.shape)
    return Asked(question, f"The {thing.shape} is {thing.colour}.", "colour", n, ("colour", thing))


def ask_shape(rng: np.random.Generator, scene: Scene, phrasings: str) -> Asked | None:
    """What a shape is, named by its colour or place, or the only one there is; and whether it is big."""
    if not scene.shapes:
        return None
    thing, dice = choose(rng, scene.shapes), rng.random()
    n = len(SHAPES)
    if len(scene.things) == 1 and not scene.signs and dice < 0.5:
        question = say(rng, PHRASES["what"], phrasings)
        return Asked(question, f"It is {a(thing.name)}.", "shape", n * len(COLOURS), ("thing", thing))
    absent = [c for c in COLOURS if all(t.colour != c for t in scene.things)]
    if dice < 0.08 and absent:
        colour = choose(rng, absent)
        return Asked(
            say(rng, PHRASES["shape of"], phrasings, colour=colour), f"There is no {colour} shape.", "shape", n + 1
        )
    if dice < 0.22 and (name := call(rng, scene, thing)):
        question = say(rng, PHRASES["size"], phrasings, name=name)
        return Asked(question, f"The {name} is {size_word(thing)}.", "shape", 2, ("thing", thing))
    place = scene.place(thing)
    if dice < 0.5 and sum(scene.place(t) == place for t in scene.things) == 1:
        return Asked(
            say(rng, PHRASES["shape at"], phrasings, place=place),
            f"It is {a(thing.shape)}.",
            "shape",
            n,
            ("thing", thing),
        )
    if sum(t.colour == thing.colour for t in scene.things) > 1:
        return None
    question = say(rng, PHRASES["shape of"], phrasings, colour=thing.colour)
    return Asked(question, f"The {thing.colour} shape is {a(thing.shape)}.", "shape", n, ("thing", thing))


def ask_name(rng: np.random.Generator, scene: Scene, phrasings: str) -> Asked | None:
    """What an icon shows: the only one, or the one at a place; and whether it is big."""
    drawn = [t for t in scene.things if not t.colour]
    if not drawn:
        return None
    thing, dice, n = choose(rng, drawn), rng.random(), len(NOUNS)
    if len(scene.things) == 1 and not scene.signs and dice < 0.6:
        kind = KIND_OF.get(thing.shape) if dice < 0.12 else None
        wordings = PHRASES["what kind"] if kind else tuple(p for p in PHRASES["what"] if "shape" not in p)
        question = say(rng, wordings, phrasings, kind=kind or "")
        return Asked(question, f"It is {a(thing.name)}.", "name", n, ("thing", thing))
    if dice < 0.2 and call(rng, scene, thing):
        question = say(rng, PHRASES["size"], phrasings, name=thing.name)
        return Asked(question, f"The {thing.name} is {size_word(thing)}.", "name", 2, ("thing", thing))
    place = scene.place(thing)
    if sum(scene.place(t) == place for t in scene.things) > 1:
        return None
    question = say(rng, PHRASES["thing at"], phrasings, place=place)
    return Asked(question, f"It is {a(thing.name)}.", "name", n, ("thing", thing))


def ask_count(rng: np.random.Generator, scene: Scene, phrasings: str) -> Asked:
    """How many things in all, of a shape, of a colour, or of both."""
    dice = rng.random()
    if dice < 0.45:
        # A sign is an object too, so beside signs only shapes are asked for by that word; an icon is no shape.
        shapes = bool(scene.signs) or (scene.noun == "thing" and dice < 0.1)
        wordings = tuple(p for p in PHRASES["count all"] if scene.noun == "shape" or ("shapes" in p) is shapes)
        if scene.signs:
            wordings = tuple(p for p in PHRASES["count all"] if "shapes" in p)
        count, noun = (len(scene.shapes), "shape") if shapes else (len(scene.things), scene.noun)
        return Asked(say(rng, wordings, phrasings), count_sentence(count, noun), "count", 10)
    if dice < 0.53 and len(scene.shapes) < len(scene.things):
        kind = choose(rng, NOUN_KINDS)
        count = sum(KIND_OF.get(t.shape) == kind for t in scene.things)
        question = say(rng, PHRASES["count"], phrasings, names=plural(kind))
        return Asked(question, count_sentence(count, kind), "count", 4, ("count",))
    # A kind that is there twice is asked for more often, or else nearly every answer were one or none.
    by_colour = dice >= 0.75 and bool(scene.shapes or not scene.things)
    kinds = [t.colour for t in scene.shapes] if by_colour else [t.shape for t in scene.things]
    counts = Counter(kinds)
    several = [k for k in counts if counts[k] > 1]
    pick = rng.random()
    pool = COLOURS if by_colour else kinds_like(rng, scene.things)
    kind = (
        choose(rng, several)
        if several and pick < 0.6
        else choose(rng, kinds)
        if kinds and pick < 0.8
        else choose(rng, pool)
    )
    noun = f"{kind} shape" if by_colour else kind
    plain = scene.signs or scene.noun == "thing"
    asked = f"{kind} {'shape' if plain else choose(rng, ('shape', 'thing', 'object', 'shape'))}" if by_colour else kind
    if kind in SHAPES and rng.random() < 0.15 and scene.shapes:
        asked = noun = f"{choose(rng, scene.shapes).colour} {kind}"
        counts[kind] = count_of(scene, noun)
    question = say(rng, PHRASES["count"], phrasings, names=plural(asked))
    return Asked(question, count_sentence(counts[kind], noun), "count", 4, ("count",))


def ask_exists(rng: np.random.Generator, scene: Scene, phrasings: str) -> Asked:
    """Yes or no, each half the time."""
    if scene.things and rng.random() < 0.5:
        thing = choose(rng, scene.things)
        name = thing.shape if rng.random() < 0.5 else thing.name
        about = ("thing", thing) if count_of(scene, name) == 1 else ("exists",)
    else:
        name, about = absent_name(rng, scene), ("exists",)
    return Asked(say(rng, PHRASES["exists"], phrasings, a=a(name)), exists_answer(scene, name), "exists", 2, about)


def relation_of(thing: Thing, other: Thing) -> str | None:
    """Where the thing is as seen from the other, or None where two sides would be equally right."""
    dx, dy = thing.x - other.x, thing.y - other.y
    if max(abs(dx), abs(dy)) < 1.7 * min(abs(dx), abs(dy)):
        return None
    return _RELATIONS[int(dx > 0) if abs(dx) > abs(dy) else 2 + int(dy > 0)]


def ask_where(rng: np.random.Generator, scene: Scene, phrasings: str) -> Asked | None:
    """A thing's ninth of the picture, what is in a ninth, and relations between two things."""
    dice = rng.random()
    if dice < 0.06:
        name = absent_name(rng, scene)
        return Asked(say(rng, PHRASES["where"], phrasings, name=name), none(name), "where", 10)
    if dice < 0.2:
        place = scene.place(choose(rng, scene.things)) if rng.random() < 0.7 else choose(rng, PLACES)
        inside = [a(t.name) for t in scene.things if scene.place(t) == place]
        if scene.signs:
            return None
        answer = f"There is {listing(inside) if inside else 'nothing'} {place}."
        return Asked(say(rng, PHRASES["at"], phrasings, place=place), answer, "where", 65)
    found = named(rng, scene)
    if found is None:
        return None
    thing, name = found
    if dice < 0.55 or len(scene.things) == 1:
        answer = f"The {name} is {scene.place(thing)}."
        return Asked(say(rng, PHRASES["where"], phrasings, name=name), answer, "where", 9, ("where", thing))
    other = choose(rng, [t for t in scene.things if t is not thing])
    other_name, truth = call(rng, scene, other), relation_of(thing, other)
    if other_name is None or truth is None:
        return None
    answer = f"The {name} is {truth} the {other_name}."
    if dice < 0.78:
        question = say(rng, PHRASES["relation"], phrasings, name=name, other=other_name)
        return Asked(question, answer, "where", 4, ("thing", thing))
    index = _RELATIONS.index(truth)
    right = rng.random() < 0.5
    asked = choose(rng, _ASKED_RELATIONS[index if right else index ^ 1])
    question = say(rng, PHRASES["is relation"], phrasings, name=name, other=other_name, relation=asked)
    return Asked(question, f"{'Yes' if right else 'No'}, t{answer[1:]}", "where", 2, ("thing", thing))


def box_answer(scene: Scene, thing: Thing, name: str) -> str:
    """Qwen2-VL's grounding format: thousandths of width and height, here rounded to tens."""
    x1, y1, x2, y2 = thing.half_extents()
    xs = [min(990, max(0, round(100 * (thing.x + v) / scene.width) * 10)) for v in (x1, x2)]
    ys = [min(990, max(0, round(100 * (thing.y + v) / scene.height) * 10)) for v in (y1, y2)]
    box = f"({xs[0]},{ys[0]}),({xs[1]},{ys[1]})"
    return f"<|object_ref_start|>the {name}<|object_ref_end|><|box_start|>{box}<|box_end|>"


def ask_box(rng: np.random.Generator, scene: Scene, phrasings: str) -> Asked | None:
    """The bounding box of a thing, or that it is not there."""
    if rng.random() < 0.08:
        name = absent_name(rng, scene)
        return Asked(say(rng, PHRASES["box"], phrasings, name=name), none(name), "box", 10**4)
    found = named(rng, scene)
    if found is None:
        return None
    thing, name = found
    return Asked(
        say(rng, PHRASES["box"], phrasings, name=name), box_answer(scene, thing, name), "box", 10**4, ("thing", thing)
    )


def ask_describe(rng: np.random.Generator, scene: Scene, phrasings: str) -> Asked | None:
    """All that is there in one sentence, with sizes if asked for detail; a single shape only where "what is this" would
    not fit as well."""
    if len(scene.things) == 1 and not scene.signs:
        question = say(
            rng, tuple(p for p in PHRASES["describe"] if p.startswith(("Desc", "Tell", "List", "Give"))), phrasings
        )
    else:
        question = say(rng, PHRASES["describe"], phrasings)
    about: tuple = ("thing", scene.things[0]) if len(scene.things) == 1 else ()
    answer = describe(scene, detailed="detail" in question.lower())
    return Asked(question, answer, "describe", _DESCRIBE_CHOICES ** max(1, len(scene.things)), about)


def ask_read(rng: np.random.Generator, scene: Scene, phrasings: str) -> Asked:
    """What the signs say, whether they say something, and in which colour; or that there is no text."""
    texts = [sign.text for sign in scene.signs]
    dice, chance = rng.random(), len(WORDS) + 90
    if not texts:
        if dice < 0.5:
            return Asked(say(rng, PHRASES["is text"], phrasings), "No, there is no text.", "read", 2)
        return Asked(say(rng, PHRASES["read"], phrasings), "There is no text.", "read", chance)
    says = listing([f'"{text}"' for text in texts])
    if dice < 0.1:
        return Asked(say(rng, PHRASES["is text"], phrasings), f"Yes, it says {says}.", "read", 2)
    if dice < 0.25:
        asked = choose(rng, texts) if rng.random() < 0.5 else choose(rng, [w for w in WORDS if w not in texts])
        # Without a verdict, which nano has never learnt to give: what is there answers the question as well.
        return Asked(say(rng, PHRASES["says"], phrasings, text=asked), f"It says {says}.", "read", chance ** len(texts))
    if dice < 0.35 and len(texts) == 1:
        question = say(rng, PHRASES["text colour"], phrasings)
        return Asked(question, f"The text is {scene.signs[0].colour}.", "colour", 7)
    numbers = len(texts) == 1 and texts[0].isdigit() and rng.random() < 0.5
    question = say(rng, PHRASES["read number" if numbers else "read"], phrasings)
    return Asked(question, f"It says {says}.", "read", chance ** len(texts))


ASKERS = {
    **{"name": ask_name, "shape": ask_shape, "colour": ask_colour, "count": ask_count, "exists": ask_exists},
    **{"where": ask_where, "describe": ask_describe, "box": ask_box, "read": ask_read},
}
SCENE_WEIGHTS = {
    **{"name": 17, "shape": 12, "colour": 14, "count": 20, "exists": 13, "where": 20},
    **{"describe": 9, "box": 18, "read": 2},
}
TEXT_WEIGHTS = {
    **{"read": 60, "name": 6, "shape": 6, "colour": 7, "count": 7, "exists": 7, "where": 5},
    **{"describe": 8, "box": 2},
}


def ask_scene(rng: np.random.Generator, scene: Scene, weights: dict[str, int], phrasings: str) -> Asked:
    """A question of a family drawn by weight; without things only those that make sense are asked."""
    families = [f for f in weights if scene.things or f in ("read", "count", "exists", "describe")]
    # Of icons it is asked what they are, of shapes what shape and colour they have.
    families = [f for f in families if f not in ("shape", "colour") or scene.shapes]
    families = [f for f in families if f != "name" or len(scene.shapes) < len(scene.things)]
    chances = np.array([weights[f] for f in families], float)
    while True:
        family = families[int(rng.choice(len(families), p=chances / chances.sum()))]
        asked = ASKERS[family](rng, scene, phrasings)
        if asked is not None:
            return asked
