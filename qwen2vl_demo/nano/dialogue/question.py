"""One question with its answer, and how things are called in both.

Contract: a name fits exactly the things it is said to fit. Draws nothing, and does not choose what is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qwen2vl_demo.nano.dialogue.wording import a, listing, plural
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.nouns import NOUNS
from qwen2vl_demo.nano.world.scene import COLOURS, SHAPES, Scene, Thing, choose


@dataclass(frozen=True)
class Asked:
    """One question with its answer.

    `about` is (), ("count",), ("exists",), ("describe",), or a word and the Thing asked about: "thing", "colour" or
    "where"; or "pair" and two of them.
    """

    question: str
    answer: str
    family: str
    choices: int
    about: tuple = ()


def size_word(thing: Thing) -> str:
    return "big" if thing.big else "small"


def phrase(scene: Scene, thing: Thing, detailed: bool = False) -> str:
    """ "a red star at the top left"; in detail it is "a big red star at the top left"."""
    name = f"{size_word(thing)} {thing.name}" if detailed else thing.name
    return f"{a(name)} {scene.place(thing)}"


def describe(scene: Scene, detailed: bool = False) -> str:
    """One sentence that lists the signs from top to bottom and the things in reading order."""
    parts = [f'a sign that says "{sign.text}"' for sign in scene.signs]
    parts += [phrase(scene, t, detailed) for t in scene.things]
    sentence = listing(parts)
    return sentence[0].upper() + sentence[1:] + "."


def call(rng: np.random.Generator, scene: Scene, thing: Thing, full: float = 0.2) -> str | None:
    """A name that only this thing has: its shape, or colour and shape; None if it has a twin."""
    if sum(t.shape == thing.shape for t in scene.things) == 1 and rng.random() >= full:
        return thing.shape
    return thing.name if sum(t.name == thing.name for t in scene.things) == 1 else None


def named(rng: np.random.Generator, scene: Scene, full: float = 0.2) -> tuple[Thing, str] | None:
    found = [(t, name) for t in scene.things if (name := call(rng, scene, t, full))]
    return choose(rng, found) if found else None


def kinds_like(rng: np.random.Generator, things: Sequence[Thing]) -> tuple[str, ...]:
    """The kinds to ask for beside these things: nouns as often as there are icons among them, else shapes."""
    drawn = sum(not t.colour for t in things)
    return icons.nouns() if drawn and rng.random() < drawn / len(things) else SHAPES


def absent_kind(rng: np.random.Generator, scene: Scene) -> str:
    """A shape or a noun that nothing in the scene is."""
    there = {t.shape for t in scene.things}
    absent = [kind for kind in kinds_like(rng, scene.things) if kind not in there]
    return str(choose(rng, absent or [noun for noun in NOUNS if noun not in there]))


def absent_name(rng: np.random.Generator, scene: Scene) -> str:
    """A name nothing in the scene has; half the time a near miss that shares the shape or the colour."""
    names = {t.name for t in scene.things}
    if scene.shapes and rng.random() < 0.5 * len(scene.shapes) / len(scene.things):
        near = choose(rng, scene.shapes)
        options = [f"{c} {near.shape}" for c in COLOURS] + [f"{near.colour} {s}" for s in SHAPES]
        return str(choose(rng, [o for o in options if o not in names]))
    return absent_kind(rng, scene)


def none(name: str) -> str:
    return f"There is no {name}."


def count_of(scene: Scene, name: str) -> int:
    """How many things a shape's name, or a colour's and shape's, fits."""
    return sum(name in (t.shape, t.name) for t in scene.things)


def exists_answer(scene: Scene, name: str) -> str:
    count = count_of(scene, name)
    if count > 1:
        return f"Yes, there are {count} {plural(name)}."
    return f"Yes, there is {a(name)}." if count else f"No, there is no {name}."
