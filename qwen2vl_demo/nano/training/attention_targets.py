"""Which merged tokens an answer rests on, part by part, so that training can teach one attention head to look there.

Contract: a `Focus` names a stretch of the answer and the merged tokens of one medium (raster order, flat) that it is
about. Read off the scene, never off the pixels. A hint for training only: nothing of it goes into a prompt.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qwen2vl_demo.nano.dialogue.question import Asked, phrase
from qwen2vl_demo.nano.dialogue.wording import a, plural
from qwen2vl_demo.nano.world.drawing import Cells, box_of, spread
from qwen2vl_demo.nano.world.nouns import KIND_OF, NOUN_KINDS, NOUNS
from qwen2vl_demo.nano.world.scene import CELL, COLOURS, SHAPES, WORDS, Scene, Sign, Thing

_NOUNS = {noun: shape for shape in (*SHAPES, *NOUNS) for noun in (shape, plural(shape))} | {
    w: "" for w in ("shape", "shapes", "thing", "things")
}
_KIND = re.compile(rf"\b({'|'.join(NOUN_KINDS)})s?\b")
_MENTION = re.compile(rf"\b(?:({'|'.join(COLOURS)}) )?({'|'.join(sorted(_NOUNS, key=len, reverse=True))})\b")


@dataclass(frozen=True)
class Focus:
    """The characters [start, end) of an answer and the merged tokens `cells` of `medium` that they rest on."""

    start: int
    end: int
    medium: int
    cells: tuple[int, ...]


def cells_under(box: tuple[float, float, float, float], height: int, width: int) -> tuple[int, ...]:
    """Flat indices of the merged tokens a rectangle (x1, y1, x2, y2) in pixels covers by a quarter, or nearly as well
    as the best: of a triangle between two, the upper holds more of the rectangle and the lower more of the ink."""
    rows, columns = height // CELL, width // CELL
    x1, y1, x2, y2 = box
    wide = np.clip(np.minimum(x2, (np.arange(columns) + 1) * CELL) - np.maximum(x1, np.arange(columns) * CELL), 0, CELL)
    tall = np.clip(np.minimum(y2, (np.arange(rows) + 1) * CELL) - np.maximum(y1, np.arange(rows) * CELL), 0, CELL)
    share = (tall[:, None] * wide[None] / CELL**2).ravel()
    return tuple(int(i) for i in np.flatnonzero((share >= 0.25) | (share >= 0.4 * share.max())))


def written(sign: Sign, at: int, medium: int, height: int, width: int) -> list[Focus]:
    """What a sign's text rests on where it stands from `at` on in an answer: each character on its own cells, so that
    a number is read from left to right; a word, which is one token, on all of its."""
    if sign.text in WORDS:
        return [Focus(at, at + len(sign.text), medium, cells_under(sign.box, height, width))]
    _, top, _, bottom = sign.box
    return [
        Focus(at + index, at + index + 1, medium, cells_under((left, top, right, bottom), height, width))
        for index, (_, left, right) in enumerate(spread(sign))
    ]


def _cells(scene: Scene, parts: Iterable[Thing | Sign]) -> tuple[int, ...]:
    found: set[int] = set()
    for part in parts:
        if isinstance(part, Sign):
            found.update(cells_under(part.box, scene.height, scene.width))
        else:
            found.update(cells_under(box_of(part), scene.height, scene.width))
    return tuple(sorted(found))


def mentioned(things: Sequence[Thing], text: str) -> list[Thing]:
    """The things that a text speaks of by shape, by colour and shape, as shapes, or by their kind."""
    matches = [(colour, _NOUNS[noun]) for colour, noun in _MENTION.findall(text)]
    kinds = set(_KIND.findall(text))
    return [
        t
        for t in things
        if any(c in ("", t.colour) and s in ("", t.shape) for c, s in matches) or KIND_OF.get(t.shape) in kinds
    ]


def focus(scene: Scene, asked: Asked, medium: int = 0) -> tuple[Focus, ...]:
    """What each part of an answer about one scene rests on; () where it rests on nothing that is there."""
    answer = asked.answer
    if asked.about and asked.about[0] == "pair":
        turning = answer.index(" and ") + 4
        first, second = (_cells(scene, [thing]) for thing in asked.about[1:])
        return (Focus(0, turning, medium, first), Focus(turning, len(answer), medium, second))
    detailed = asked.family == "describe" and "detail" in asked.question.lower()
    listed = [(phrase(scene, t, detailed), t) for t in scene.things]
    if asked.family not in ("describe", "pictures", "followup") or not any(p in answer.lower() for p, _ in listed):
        listed = [(a(t.name), t) for t in scene.things] if answer.startswith("There is a") else []
    parts: list[tuple[str, Thing | Sign]] = [(f'"{s.text}"', s) for s in scene.signs if f'"{s.text}"' in answer]
    parts += listed
    found: list[Focus] = []
    cursor = 0
    for words, part in parts:
        at = answer.lower().find(words.lower(), cursor)
        if at < 0:
            continue
        end = at + len(words)
        if isinstance(part, Sign):  # behind its quotation mark
            pieces = written(part, at + 1, medium, scene.height, scene.width)
        else:
            pieces = [Focus(at, end, medium, _cells(scene, [part]))]
        pieces[0] = replace(pieces[0], start=cursor)
        pieces[-1] = replace(pieces[-1], end=end)
        found += pieces
        cursor = end
    if found:
        return tuple(found)
    about = asked.about[1] if len(asked.about) > 1 else None
    things = mentioned(scene.things, answer)
    if about and asked.family != "where":
        things = [about]
    elif about and about not in things:
        things.append(about)
    if answer.startswith("The text is"):
        return (Focus(0, len(answer), medium, _cells(scene, scene.signs)),)
    return (Focus(0, len(answer), medium, _cells(scene, things)),) if things else ()


def clip_focus(cells: Sequence[Cells], labels: Iterable[int], answer: str) -> tuple[Focus, ...]:
    """The whole answer rests on every merged token of the clip that shows one of the labels."""
    flat = np.flatnonzero(np.isin(np.stack([pair.labels for pair in cells]), list(labels)))
    return (Focus(0, len(answer), 0, tuple(int(i) for i in flat)),) if len(flat) else ()
