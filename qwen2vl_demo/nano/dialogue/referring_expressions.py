"""Referring expressions: names and noun phrases that identify things in a scene, and sentences built from them.

A name is only returned where it refers unambiguously. Everything random comes from the generator passed in.
"""

from collections.abc import Sequence

import numpy as np

from qwen2vl_demo.nano.dialogue.wording import join_list, plural, with_article
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.nouns import NOUNS
from qwen2vl_demo.nano.world.scene import COLOURS, SHAPES, Scene, Thing, choose


def size_word(thing: Thing) -> str:
    return "big" if thing.big else "small"


def noun_phrase(scene: Scene, thing: Thing, detailed: bool = False) -> str:
    """ "a red star at the top left"; with detail, "a big red star at the top left"."""
    name = f"{size_word(thing)} {thing.name}" if detailed else thing.name
    return f"{with_article(name)} {scene.place(thing)}"


def describe_scene(scene: Scene, detailed: bool = False) -> str:
    """One sentence that lists the signs from top to bottom and the things in reading order."""
    parts = [f'a sign that says "{sign.text}"' for sign in scene.signs]
    parts += [noun_phrase(scene, t, detailed) for t in scene.things]
    sentence = join_list(parts)
    return sentence[0].upper() + sentence[1:] + "."


def unique_name(rng: np.random.Generator, scene: Scene, thing: Thing, full: float = 0.2) -> str | None:
    """A name that only this thing has, or None if another thing has the same colour and shape.

    The name is the shape where that is unique, but with probability `full` the colour and shape.
    """
    if sum(t.shape == thing.shape for t in scene.things) == 1 and rng.random() >= full:
        return thing.shape
    return thing.name if sum(t.name == thing.name for t in scene.things) == 1 else None


def random_named_thing(rng: np.random.Generator, scene: Scene, full: float = 0.2) -> tuple[Thing, str] | None:
    """A random thing that has a unique name, with that name; None if there is none."""
    found = [(t, name) for t in scene.things if (name := unique_name(rng, scene, t, full))]
    return choose(rng, found) if found else None


def similar_kinds(rng: np.random.Generator, things: Sequence[Thing]) -> tuple[str, ...]:
    """The kinds to draw a distractor from: nouns in proportion to the icons among the things, otherwise shapes."""
    icon_count = sum(not t.colour for t in things)
    return icons.nouns() if icon_count and rng.random() < icon_count / len(things) else SHAPES


def absent_kind(rng: np.random.Generator, scene: Scene) -> str:
    """A shape or a noun that nothing in the scene has."""
    present = {t.shape for t in scene.things}
    absent = [kind for kind in similar_kinds(rng, scene.things) if kind not in present]
    return str(choose(rng, absent or [noun for noun in NOUNS if noun not in present]))


def absent_name(rng: np.random.Generator, scene: Scene) -> str:
    """A name that nothing in the scene has; half the time a near miss that shares a shape or a colour."""
    names = {t.name for t in scene.things}
    if scene.shapes and rng.random() < 0.5 * len(scene.shapes) / len(scene.things):
        near = choose(rng, scene.shapes)
        options = [f"{c} {near.shape}" for c in COLOURS] + [f"{near.colour} {s}" for s in SHAPES]
        return str(choose(rng, [o for o in options if o not in names]))
    return absent_kind(rng, scene)


def absent_answer(name: str) -> str:
    return f"There is no {name}."


def count_matching(scene: Scene, name: str) -> int:
    """How many things a shape's name, or a colour and shape, refers to."""
    return sum(name in (t.shape, t.name) for t in scene.things)


def exists_answer(scene: Scene, name: str) -> str:
    count = count_matching(scene, name)
    if count > 1:
        return f"Yes, there are {count} {plural(name)}."
    return f"Yes, there is {with_article(name)}." if count else f"No, there is no {name}."
