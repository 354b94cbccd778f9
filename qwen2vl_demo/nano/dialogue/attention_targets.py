"""Which merged tokens each part of an answer depends on, as supervision for one attention head.

Training teaches one head to attend to these tokens (see `training/auxiliary_heads.attention_loss`). The targets are
derived from the scene description, never from the pixels, and are not part of any prompt.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.dialogue.dialogue import AttentionTarget, Question
from qwen2vl_demo.nano.dialogue.referring_expressions import noun_phrase
from qwen2vl_demo.nano.dialogue.wording import plural, with_article
from qwen2vl_demo.nano.world.drawing import CellTruth, bounding_box, cells_in_box, character_extents
from qwen2vl_demo.nano.world.nouns import KIND_OF, NOUN_KINDS, NOUNS
from qwen2vl_demo.nano.world.scene import COLOURS, SHAPES, SIGN_WORDS, Scene, Sign, Thing
from qwen2vl_demo.nano.world.typesetting import PrintedPage, TextRun

_NOUNS = {noun: shape for shape in (*SHAPES, *NOUNS) for noun in (shape, plural(shape))} | {
    word: "" for word in ("shape", "shapes", "thing", "things")
}
_KIND = re.compile(rf"\b({'|'.join(NOUN_KINDS)})s?\b")
_MENTION = re.compile(rf"\b(?:({'|'.join(COLOURS)}) )?({'|'.join(sorted(_NOUNS, key=len, reverse=True))})\b")


def sign_attention_targets(sign: Sign, start: int, medium: int, height: int, width: int) -> list[AttentionTarget]:
    """Targets for a sign's text that begins at character `start` of an answer.

    Each character of a number depends on its own cells, so that numbers are read from left to right. A word is a
    single token and depends on all of the sign's cells.
    """
    if sign.text in SIGN_WORDS:
        return [AttentionTarget(start, start + len(sign.text), medium, cells_in_box(sign.box, height, width))]
    _, top, _, bottom = sign.box
    return [
        AttentionTarget(
            start + index, start + index + 1, medium, cells_in_box((left, top, right, bottom), height, width)
        )
        for index, (_, left, right) in enumerate(character_extents(sign))
    ]


def _cells(scene: Scene, parts: Iterable[Thing | Sign]) -> tuple[int, ...]:
    found: set[int] = set()
    for part in parts:
        box = part.box if isinstance(part, Sign) else bounding_box(part)
        found.update(cells_in_box(box, scene.height, scene.width))
    return tuple(sorted(found))


def mentioned_things(things: Sequence[Thing], text: str) -> list[Thing]:
    """The things that a text mentions: by shape, by colour and shape, as "shapes" or "things", or by their kind."""
    matches = [(colour, _NOUNS[noun]) for colour, noun in _MENTION.findall(text)]
    kinds = set(_KIND.findall(text))
    return [
        t
        for t in things
        if any(c in ("", t.colour) and s in ("", t.shape) for c, s in matches) or KIND_OF.get(t.shape) in kinds
    ]


def scene_attention_targets(scene: Scene, question: Question, medium: int = 0) -> tuple[AttentionTarget, ...]:
    """What each part of an answer about one scene depends on; () if the answer refers to nothing in the scene."""
    answer = question.answer
    if question.about and question.about[0] == "pair":
        second_clause = answer.index(" and ") + 4
        first, second = (_cells(scene, [thing]) for thing in question.about[1:])
        return (
            AttentionTarget(0, second_clause, medium, first),
            AttentionTarget(second_clause, len(answer), medium, second),
        )
    detailed = question.family == "describe" and "detail" in question.text.lower()
    listed = [(noun_phrase(scene, t, detailed), t) for t in scene.things]
    if question.family not in ("describe", "pictures", "followup") or not any(p in answer.lower() for p, _ in listed):
        listed = [(with_article(t.name), t) for t in scene.things] if answer.startswith("There is a") else []
    parts: list[tuple[str, Thing | Sign]] = [(f'"{s.text}"', s) for s in scene.signs if f'"{s.text}"' in answer]
    parts += listed
    found: list[AttentionTarget] = []
    cursor = 0
    for text, part in parts:
        start = answer.lower().find(text.lower(), cursor)
        if start < 0:
            continue
        end = start + len(text)
        if isinstance(part, Sign):  # skip the opening quotation mark
            targets = sign_attention_targets(part, start + 1, medium, scene.height, scene.width)
        else:
            targets = [AttentionTarget(start, end, medium, _cells(scene, [part]))]
        targets[0] = replace(targets[0], start=cursor)
        targets[-1] = replace(targets[-1], end=end)
        found += targets
        cursor = end
    if found:
        return tuple(found)
    about = question.about[1] if len(question.about) > 1 else None
    things = mentioned_things(scene.things, answer)
    if about and question.family != "where":
        things = [about]
    elif about and about not in things:
        things.append(about)
    if answer.startswith("The text is"):
        return (AttentionTarget(0, len(answer), medium, _cells(scene, scene.signs)),)
    return (AttentionTarget(0, len(answer), medium, _cells(scene, things)),) if things else ()


def clip_attention_targets(
    cells: Sequence[CellTruth], labels: Iterable[int], answer: str
) -> tuple[AttentionTarget, ...]:
    """The whole answer depends on every merged token of the clip that has one of the labels."""
    flat = np.flatnonzero(np.isin(np.stack([pair.labels for pair in cells]), list(labels)))
    return (AttentionTarget(0, len(answer), 0, tuple(int(i) for i in flat)),) if len(flat) else ()


def run_targets(
    page: PrintedPage, run: TextRun, start: int, medium: int = 0, part: slice = slice(None)
) -> list[AttentionTarget]:
    """Where the characters of a run, or of a part of it, that begin at character `start` of an answer are printed."""
    targets: list[AttentionTarget] = []
    for offset, cell in enumerate(page.cells_of(run)[part].tolist(), start):
        if targets and targets[-1].cells == (cell,):
            targets[-1] = replace(targets[-1], end=offset + 1)
        elif cell >= 0:
            targets.append(AttentionTarget(offset, offset + 1, medium, (cell,), copied=True))
    return targets


def print_attention_targets(
    page: PrintedPage, runs: Sequence[TextRun], answer: str, medium: int = 0
) -> tuple[AttentionTarget, ...]:
    """The targets of an answer that quotes these runs in this order; a run that it does not quote is skipped.

    What stands before a quoted text belongs to its first character, since a token includes the space before it.
    """
    targets: list[AttentionTarget] = []
    cursor = 0
    for run in runs:
        at = answer.find(run.text, cursor)
        if at >= 0 and (found := run_targets(page, run, at, medium)):
            first = found[0]
            found[0] = replace(first, start=max(cursor, at - 1))
            targets += found
            cursor = at + len(run.text)
    return tuple(targets)
