"""Questions about one scene, with answers derived from the scene description and never from the pixels.

`random_scene_question` picks a question that has exactly one right answer; the same fact is always stated in the same
words. `Question.about` records what a question refers to, for `follow_ups.follow_up`. The functions of one family
return None if the question they drew would be ambiguous in this scene.
"""

from collections import Counter
from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.dialogue.dialogue import Question
from qwen2vl_demo.nano.dialogue.phrases import PHRASES
from qwen2vl_demo.nano.dialogue.referring_expressions import (
    absent_answer,
    absent_name,
    count_matching,
    describe_scene,
    exists_answer,
    random_named_thing,
    similar_kinds,
    size_word,
    unique_name,
)
from qwen2vl_demo.nano.dialogue.wording import count_sentence, join_list, plural, random_wording, with_article
from qwen2vl_demo.nano.world.drawing import bounding_box
from qwen2vl_demo.nano.world.nouns import KIND_OF, NOUN_KINDS, NOUNS
from qwen2vl_demo.nano.world.scene import COLOURS, PLACES, SHAPES, SIGN_WORDS, Scene, Thing, choose
from qwen2vl_demo.processing.messages import REGION_SCALE, Region

_RELATIONS = ("to the left of", "to the right of", "above", "below")
_RELATION_SYNONYMS = (
    ("left of", "to the left of"),
    ("right of", "to the right of"),
    ("above", "over"),
    ("below", "under"),
)
_DESCRIBE_CHOICES = 8 * 8 * 9
_REGION = "\0"  # stands for the box in a wording, whose letters are varied


def colour_question(rng: np.random.Generator, scene: Scene, split: str) -> Question | None:
    """The colour of a thing named by shape or place, of two of a kind, or of something absent; or yes-or-no."""
    dice, n = rng.random(), len(COLOURS)
    absent = [s for s in SHAPES if all(t.shape != s for t in scene.things)]
    if dice < 0.1 and absent:
        name = choose(rng, absent)
        return Question(random_wording(rng, PHRASES["colour"], split, name=name), absent_answer(name), "colour", n + 1)
    if not scene.shapes:
        return None
    shapes = Counter(t.shape for t in scene.things)
    thing = choose(rng, scene.shapes)
    if dice < 0.3 and shapes[thing.shape] == 2:
        pair = [t for t in scene.things if t.shape == thing.shape]
        first, second = (t.colour for t in pair)
        question = random_wording(rng, PHRASES["colours"], split, names=plural(thing.shape))
        # In sequence, so that nano need not know both colours before it writes the first.
        answer = f"One is {first} and {'so is the other' if first == second else f'one is {second}'}."
        return Question(question, answer, "colour", n * (n + 1) // 2, ("pair", *pair))
    if dice < 0.42:
        place = scene.place(thing)
        if sum(scene.place(t) == place for t in scene.things) == 1:
            question = random_wording(rng, PHRASES["colour at"], split, place=place)
            return Question(question, f"It is {thing.colour}.", "colour", n, ("thing", thing))
    if shapes[thing.shape] > 1:
        return None
    if dice < 0.62:
        right = rng.random() < 0.5
        colour = thing.colour if right else choose(rng, [c for c in COLOURS if c != thing.colour])
        question = random_wording(rng, PHRASES["is colour"], split, name=thing.shape, colour=colour)
        answer = f"{'Yes' if right else 'No'}, the {thing.shape} is {thing.colour}."
        return Question(question, answer, "colour", 2, ("thing", thing))
    if len(scene.things) == 1 and rng.random() < 0.25:
        return Question(
            random_wording(rng, PHRASES["it colour"], split), f"It is {thing.colour}.", "colour", n, ("thing", thing)
        )
    question = random_wording(rng, PHRASES["colour"], split, name=thing.shape)
    return Question(question, f"The {thing.shape} is {thing.colour}.", "colour", n, ("colour", thing))


def shape_question(rng: np.random.Generator, scene: Scene, split: str) -> Question | None:
    """What a shape is, referred to by its colour or place or as the only one; and whether it is big."""
    if not scene.shapes:
        return None
    thing, dice = choose(rng, scene.shapes), rng.random()
    n = len(SHAPES)
    if len(scene.things) == 1 and not scene.signs and dice < 0.5:
        question = random_wording(rng, PHRASES["what"], split)
        return Question(question, f"It is {with_article(thing.name)}.", "shape", n * len(COLOURS), ("thing", thing))
    absent = [c for c in COLOURS if all(t.colour != c for t in scene.things)]
    if dice < 0.08 and absent:
        colour = choose(rng, absent)
        return Question(
            random_wording(rng, PHRASES["shape of"], split, colour=colour),
            f"There is no {colour} shape.",
            "shape",
            n + 1,
        )
    if dice < 0.22 and (name := unique_name(rng, scene, thing)):
        question = random_wording(rng, PHRASES["size"], split, name=name)
        return Question(question, f"The {name} is {size_word(thing)}.", "shape", 2, ("thing", thing))
    place = scene.place(thing)
    if dice < 0.5 and sum(scene.place(t) == place for t in scene.things) == 1:
        return Question(
            random_wording(rng, PHRASES["shape at"], split, place=place),
            f"It is {with_article(thing.shape)}.",
            "shape",
            n,
            ("thing", thing),
        )
    if sum(t.colour == thing.colour for t in scene.things) > 1:
        return None
    question = random_wording(rng, PHRASES["shape of"], split, colour=thing.colour)
    return Question(question, f"The {thing.colour} shape is {with_article(thing.shape)}.", "shape", n, ("thing", thing))


def name_question(rng: np.random.Generator, scene: Scene, split: str) -> Question | None:
    """What an icon shows: the only one, or the one at a place; and whether it is big."""
    drawn = [t for t in scene.things if not t.colour]
    if not drawn:
        return None
    thing, dice, n = choose(rng, drawn), rng.random(), len(NOUNS)
    if len(scene.things) == 1 and not scene.signs and dice < 0.6:
        kind = KIND_OF.get(thing.shape) if dice < 0.12 else None
        wordings = PHRASES["what kind"] if kind else tuple(p for p in PHRASES["what"] if "shape" not in p)
        question = random_wording(rng, wordings, split, kind=kind or "")
        return Question(question, f"It is {with_article(thing.name)}.", "name", n, ("thing", thing))
    if dice < 0.2 and unique_name(rng, scene, thing):
        question = random_wording(rng, PHRASES["size"], split, name=thing.name)
        return Question(question, f"The {thing.name} is {size_word(thing)}.", "name", 2, ("thing", thing))
    place = scene.place(thing)
    if sum(scene.place(t) == place for t in scene.things) > 1:
        return None
    question = random_wording(rng, PHRASES["thing at"], split, place=place)
    return Question(question, f"It is {with_article(thing.name)}.", "name", n, ("thing", thing))


def count_question(rng: np.random.Generator, scene: Scene, split: str) -> Question:
    """How many things there are in all, of a kind, of a colour, or of a colour and shape."""
    dice = rng.random()
    if dice < 0.45:
        # A sign is an object and an icon is not a shape, so the noun in the question must match what is counted.
        shapes = bool(scene.signs) or (scene.noun == "thing" and dice < 0.1)
        wordings = tuple(p for p in PHRASES["count all"] if scene.noun == "shape" or ("shapes" in p) is shapes)
        if scene.signs:
            wordings = tuple(p for p in PHRASES["count all"] if "shapes" in p)
        count, noun = (len(scene.shapes), "shape") if shapes else (len(scene.things), scene.noun)
        return Question(random_wording(rng, wordings, split), count_sentence(count, noun), "count", 10)
    if dice < 0.53 and len(scene.shapes) < len(scene.things):
        kind = choose(rng, NOUN_KINDS)
        count = sum(KIND_OF.get(t.shape) == kind for t in scene.things)
        question = random_wording(rng, PHRASES["count"], split, names=plural(kind))
        return Question(question, count_sentence(count, kind), "count", 4, ("count",))
    # Prefer a kind that occurs at least twice, as otherwise nearly every answer would be one or none.
    by_colour = dice >= 0.75 and bool(scene.shapes or not scene.things)
    kinds = [t.colour for t in scene.shapes] if by_colour else [t.shape for t in scene.things]
    counts = Counter(kinds)
    repeated = [k for k in counts if counts[k] > 1]
    pick = rng.random()
    pool = COLOURS if by_colour else similar_kinds(rng, scene.things)
    kind = (
        choose(rng, repeated)
        if repeated and pick < 0.6
        else choose(rng, kinds)
        if kinds and pick < 0.8
        else choose(rng, pool)
    )
    noun = f"{kind} shape" if by_colour else kind
    only_shapes = scene.signs or scene.noun == "thing"
    name = kind
    if by_colour:
        name = f"{kind} {'shape' if only_shapes else choose(rng, ('shape', 'thing', 'object', 'shape'))}"
    if kind in SHAPES and rng.random() < 0.15 and scene.shapes:
        name = noun = f"{choose(rng, scene.shapes).colour} {kind}"
        counts[kind] = count_matching(scene, noun)
    question = random_wording(rng, PHRASES["count"], split, names=plural(name))
    return Question(question, count_sentence(counts[kind], noun), "count", 4, ("count",))


def exists_question(rng: np.random.Generator, scene: Scene, split: str) -> Question:
    """Whether something is in the scene; the answer is yes about half the time."""
    if scene.things and rng.random() < 0.5:
        thing = choose(rng, scene.things)
        name = thing.shape if rng.random() < 0.5 else thing.name
        about = ("thing", thing) if count_matching(scene, name) == 1 else ("exists",)
    else:
        name, about = absent_name(rng, scene), ("exists",)
    return Question(
        random_wording(rng, PHRASES["exists"], split, a=with_article(name)),
        exists_answer(scene, name),
        "exists",
        2,
        about,
    )


def relation_of(thing: Thing, other: Thing) -> str | None:
    """Where the thing is relative to the other, or None if two directions would be about equally right."""
    dx, dy = thing.x - other.x, thing.y - other.y
    if max(abs(dx), abs(dy)) < 1.7 * min(abs(dx), abs(dy)):
        return None
    return _RELATIONS[int(dx > 0) if abs(dx) > abs(dy) else 2 + int(dy > 0)]


def where_question(rng: np.random.Generator, scene: Scene, split: str) -> Question | None:
    """Which ninth of the picture a thing is in, what is in a ninth, and relations between two things."""
    dice = rng.random()
    if dice < 0.06:
        name = absent_name(rng, scene)
        return Question(random_wording(rng, PHRASES["where"], split, name=name), absent_answer(name), "where", 10)
    if dice < 0.2:
        place = scene.place(choose(rng, scene.things)) if rng.random() < 0.7 else choose(rng, PLACES)
        inside = [with_article(t.name) for t in scene.things if scene.place(t) == place]
        if scene.signs:
            return None
        answer = f"There is {join_list(inside) if inside else 'nothing'} {place}."
        return Question(random_wording(rng, PHRASES["at"], split, place=place), answer, "where", 65)
    found = random_named_thing(rng, scene)
    if found is None:
        return None
    thing, name = found
    if dice < 0.55 or len(scene.things) == 1:
        answer = f"The {name} is {scene.place(thing)}."
        return Question(random_wording(rng, PHRASES["where"], split, name=name), answer, "where", 9, ("where", thing))
    other = choose(rng, [t for t in scene.things if t is not thing])
    other_name, truth = unique_name(rng, scene, other), relation_of(thing, other)
    if other_name is None or truth is None:
        return None
    answer = f"The {name} is {truth} the {other_name}."
    if dice < 0.78:
        question = random_wording(rng, PHRASES["relation"], split, name=name, other=other_name)
        return Question(question, answer, "where", 4, ("thing", thing))
    index = _RELATIONS.index(truth)
    right = rng.random() < 0.5
    relation = choose(rng, _RELATION_SYNONYMS[index if right else index ^ 1])
    question = random_wording(rng, PHRASES["is relation"], split, name=name, other=other_name, relation=relation)
    return Question(question, f"{'Yes' if right else 'No'}, t{answer[1:]}", "where", 2, ("thing", thing))


def box_answer(scene: Scene, thing: Thing, name: str) -> str:
    """The bounding box in Qwen2-VL's grounding format: thousandths of width and height, rounded here to tens."""
    x1, y1, x2, y2 = thing.half_extents()
    xs = [min(990, max(0, round(100 * (thing.x + v) / scene.width) * 10)) for v in (x1, x2)]
    ys = [min(990, max(0, round(100 * (thing.y + v) / scene.height) * 10)) for v in (y1, y2)]
    box = f"({xs[0]},{ys[0]}),({xs[1]},{ys[1]})"
    return f"<|object_ref_start|>the {name}<|object_ref_end|><|box_start|>{box}<|box_end|>"


def box_question(rng: np.random.Generator, scene: Scene, split: str) -> Question | None:
    """The bounding box of a thing, or that there is no such thing."""
    if rng.random() < 0.08:
        name = absent_name(rng, scene)
        return Question(random_wording(rng, PHRASES["box"], split, name=name), absent_answer(name), "box", 10**4)
    found = random_named_thing(rng, scene)
    if found is None:
        return None
    thing, name = found
    return Question(
        random_wording(rng, PHRASES["box"], split, name=name),
        box_answer(scene, thing, name),
        "box",
        10**4,
        ("thing", thing),
    )


def region_question(rng: np.random.Generator, scene: Scene, split: str) -> Question | None:
    """What is in a box that is drawn loosely around one thing or around nothing, and what colour that is."""
    if rng.random() < 0.12 or not scene.things:
        x, y = rng.uniform(0, 0.75, 2)
        box = (x, y, x + rng.uniform(0.12, 0.25), y + rng.uniform(0.12, 0.25))
        wording = random_wording(rng, PHRASES["region"], split, region=_REGION)
        question, thing = Question(wording, "There is nothing.", "region", len(NOUNS) + len(SHAPES)), None
    else:
        thing = choose(rng, scene.things)
        x1, y1, x2, y2 = _shares(scene, bounding_box(thing))
        wide, tall = rng.uniform(-0.12, 0.25, 2) * (x2 - x1), rng.uniform(-0.12, 0.25, 2) * (y2 - y1)
        box = (x1 - wide[0], y1 - tall[0], x2 + wide[1], y2 + tall[1])
        key, answer, plausible = "region", f"It is {with_article(thing.name)}.", len(NOUNS)
        if thing.colour:
            plausible = len(SHAPES) * len(COLOURS)
            if rng.random() < 0.35:
                key, answer, plausible = "region colour", f"It is {thing.colour}.", len(COLOURS)
        wording = random_wording(rng, PHRASES[key], split, region=_REGION)
        question = Question(wording, answer, "region", plausible, ("thing", thing))
    others = [bounding_box(t) for t in scene.things if t is not thing] + [sign.box for sign in scene.signs]
    if any(_covered(_shares(scene, other), box) > (0.15 if thing else 0.0) for other in others):
        return None
    x1, y1, x2, y2 = (min(REGION_SCALE - 1, max(0, round(REGION_SCALE * v))) for v in box)
    if x2 <= x1 or y2 <= y1:
        return None
    return replace(question, text=wording.replace(_REGION, Region(x1, y1, x2, y2).text))


def _shares(scene: Scene, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """A box in pixels as shares of the picture's sides."""
    x1, y1, x2, y2 = box
    return x1 / scene.width, y1 / scene.height, x2 / scene.width, y2 / scene.height


def _covered(box: tuple[float, float, float, float], by: tuple[float, float, float, float]) -> float:
    """The share of a box that another one covers."""
    wide, tall = min(box[2], by[2]) - max(box[0], by[0]), min(box[3], by[3]) - max(box[1], by[1])
    return max(0.0, wide) * max(0.0, tall) / ((box[2] - box[0]) * (box[3] - box[1]))


def describe_question(rng: np.random.Generator, scene: Scene, split: str) -> Question | None:
    """Everything in the scene in one sentence, with sizes if the question mentions detail.

    For a single thing only wordings that could not equally well mean "what is this".
    """
    if len(scene.things) == 1 and not scene.signs:
        question = random_wording(
            rng, tuple(p for p in PHRASES["describe"] if p.startswith(("Desc", "Tell", "List", "Give"))), split
        )
    else:
        question = random_wording(rng, PHRASES["describe"], split)
    about: tuple = ("thing", scene.things[0]) if len(scene.things) == 1 else ()
    answer = describe_scene(scene, detailed="detail" in question.lower())
    return Question(question, answer, "describe", _DESCRIBE_CHOICES ** max(1, len(scene.things)), about)


def read_question(rng: np.random.Generator, scene: Scene, split: str) -> Question:
    """What the signs say, whether they say a certain word, and in which colour; or that there is no text."""
    texts = [sign.text for sign in scene.signs]
    dice, chance = rng.random(), len(SIGN_WORDS) + 90
    if not texts:
        if dice < 0.5:
            return Question(random_wording(rng, PHRASES["is text"], split), "No, there is no text.", "read", 2)
        return Question(random_wording(rng, PHRASES["read"], split), "There is no text.", "read", chance)
    says = join_list([f'"{text}"' for text in texts])
    if dice < 0.1:
        return Question(random_wording(rng, PHRASES["is text"], split), f"Yes, it says {says}.", "read", 2)
    if dice < 0.25:
        word = choose(rng, texts) if rng.random() < 0.5 else choose(rng, [w for w in SIGN_WORDS if w not in texts])
        # The answer reads the sign and gives no verdict, which nano has never learnt to give.
        return Question(
            random_wording(rng, PHRASES["says"], split, text=word), f"It says {says}.", "read", chance ** len(texts)
        )
    if dice < 0.35 and len(texts) == 1:
        question = random_wording(rng, PHRASES["text colour"], split)
        return Question(question, f"The text is {scene.signs[0].colour}.", "colour", 7)
    numbers = len(texts) == 1 and texts[0].isdigit() and rng.random() < 0.5
    question = random_wording(rng, PHRASES["read number" if numbers else "read"], split)
    return Question(question, f"It says {says}.", "read", chance ** len(texts))


QUESTION_FUNCTIONS = {
    **{
        "name": name_question,
        "shape": shape_question,
        "colour": colour_question,
        "count": count_question,
        "exists": exists_question,
    },
    **{"where": where_question, "describe": describe_question, "box": box_question, "read": read_question},
    "region": region_question,
}
SCENE_WEIGHTS = {
    **{"name": 17, "shape": 12, "colour": 14, "count": 20, "exists": 13, "where": 20},
    **{"describe": 9, "box": 18, "read": 2, "region": 14},
}
TEXT_WEIGHTS = {
    **{"read": 60, "name": 6, "shape": 6, "colour": 7, "count": 7, "exists": 7, "where": 5},
    **{"describe": 8, "box": 2},
}


def random_scene_question(rng: np.random.Generator, scene: Scene, weights: dict[str, int], split: str) -> Question:
    """A random question of a family drawn by weight, among the families that fit the scene."""
    families = [f for f in weights if scene.things or f in ("read", "count", "exists", "describe")]
    # "shape" and "colour" need a drawn shape, "name" needs an icon.
    families = [f for f in families if f not in ("shape", "colour") or scene.shapes]
    families = [f for f in families if f != "name" or len(scene.shapes) < len(scene.things)]
    chances = np.array([weights[f] for f in families], float)
    while True:
        family = families[int(rng.choice(len(families), p=chances / chances.sum()))]
        question = QUESTION_FUNCTIONS[family](rng, scene, split)
        if question is not None:
            return question
