"""Dialogues about charts, receipts and opening hours, with answers derived from the `Document`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.dialogue.attention_targets import AttentionTarget, cells_in_box, sign_attention_targets
from qwen2vl_demo.nano.dialogue.dialogue import Dialogue, DialogueTurn
from qwen2vl_demo.nano.dialogue.phrases import PHRASES
from qwen2vl_demo.nano.dialogue.wording import count_sentence, random_wording
from qwen2vl_demo.nano.world.documents import Bar, Document, draw_document, random_document
from qwen2vl_demo.nano.world.layout import random_size
from qwen2vl_demo.nano.world.scene import COLOURS, SIGN_WORDS, Sign, choose


def document_dialogue(
    rng: np.random.Generator, size: tuple[int, int] | None, _: int | None, turns: int, split: str
) -> Dialogue:
    """A dialogue about one random document; arguments as of `generator.random_dialogue`."""
    document = random_document(rng, size or random_size(rng))
    pixels, cells = draw_document(document, rng)
    made: list[DialogueTurn] = []
    while len(made) < turns:
        for _attempt in range(4):  # repeating an earlier answer teaches little
            turn = _chart_turn(rng, document, split) if document.bars else _lines_turn(rng, document, split)
            if all(turn.answer != earlier.answer for earlier in made):
                break
        made.append(replace(turn, media=() if made else (0,)))
    return Dialogue((pixels,), tuple(made), ((cells,),))


def _attention_targets(document: Document, parts: Sequence[Bar | Sign], answer: str) -> tuple[AttentionTarget, ...]:
    """The answer depends on the parts it is about, and each character of an amount on the cells where it is printed."""
    boxes = [part.box for part in parts] + [sign.box for part in parts if isinstance(part, Bar) for sign in part.signs]
    cells = {cell for box in boxes for cell in cells_in_box(box, document.height, document.width)}
    amounts = [part for part in parts if isinstance(part, Sign) and part.text not in SIGN_WORDS]
    if len(parts) == 1 and isinstance(parts[0], Bar):
        amounts = [parts[0].signs[0]]
    targets: list[AttentionTarget] = []
    for sign in amounts:
        start = answer.find(sign.text, targets[-1].end if targets else 0)
        if start >= 0:
            targets += sign_attention_targets(sign, start, 0, document.height, document.width)
            first = -len(sign.text)
            targets[first] = replace(targets[first], start=start - 1)  # its first token includes the space before it
    whole = AttentionTarget(0, targets[0].start if targets else len(answer), 0, tuple(sorted(cells)))
    return (whole, *targets) if cells else ()


def describe_chart(document: Document) -> str:
    """ "It is a bar chart with 4 bars. C is the highest."."""
    kind, part = ("bar", "bars") if document.kind == "bars" else ("line", "points")
    top = max(document.bars, key=lambda bar: bar.value)
    return f"It is a {kind} chart with {len(document.bars)} {part}. {top.letter} is the highest."


def _chart_turn(rng: np.random.Generator, document: Document, split: str) -> DialogueTurn:
    part = "bar" if document.kind == "bars" else "point"
    bars, dice = document.bars, rng.random()
    bar = choose(rng, bars)

    def turn(key: str, answer: str, plausible_answers: int, about: Sequence[Bar] = (), **fields: str) -> DialogueTurn:
        question = random_wording(rng, PHRASES[key], split, part=part, parts=part + "s", **fields)
        return DialogueTurn(
            question, answer, "chart", (), plausible_answers, _attention_targets(document, about, answer)
        )

    if dice < 0.12:
        return turn("chart", describe_chart(document), 60, bars)
    if dice < 0.26:
        return turn("count bars", count_sentence(len(bars), part), 5, bars)
    if dice < 0.5:
        high = rng.random() < 0.6
        best = (max if high else min)(bars, key=lambda b: b.value)
        word = "highest" if high else "lowest"
        return turn(word, f"{best.letter} is the {word}.", len(bars), [best])
    if dice < 0.76:
        return turn("value", f"The value of {bar.letter} is {bar.value}.", 95, [bar], letter=bar.letter)
    if dice < 0.86 and document.kind == "bars":
        answer = f"Bar {bar.letter} is {bar.colour}."
        return turn("bar colour", answer, len(COLOURS), [bar], letter=bar.letter)
    other = choose(rng, [b for b in bars if b is not bar])
    answer = f"{max(bar, other, key=lambda b: b.value).letter} is higher."
    # The target is the higher bar alone: attending to both, the model could not tell which one is which.
    return turn("is higher", answer, 2, [max(bar, other, key=lambda b: b.value)], letter=bar.letter, other=other.letter)


def _lines_turn(rng: np.random.Generator, document: Document, split: str) -> DialogueTurn:
    dice = rng.random()
    receipt = document.kind == "receipt"

    def turn(key: str, answer: str, plausible_answers: int, about: Sequence[int] = (), **fields: str) -> DialogueTurn:
        # Of a single line only the amount: its merged token also encodes the word beside it (`CellTruth.headings`).
        signs = [sign for index in about for sign in document.line_signs[index][len(about) == 1 :]]
        question = random_wording(rng, PHRASES[key], split, **fields)
        return DialogueTurn(
            question, answer, "read", (), plausible_answers, _attention_targets(document, signs, answer)
        )

    every = range(len(document.lines))
    if not receipt:
        (_, opens), (_, closes) = document.lines
        if dice < 0.45:
            return turn("opens", f"It opens at {opens}.", 6, [0])
        if dice < 0.9:
            return turn("closes", f"It closes at {closes}.", 11, [1])
        return turn("hours", f"It is open from {opens} to {closes}.", 66, every)
    items = document.lines[:-1]
    if dice < 0.4:
        return turn("total", f"The total is {document.lines[-1][1]}.", 60, [len(items)])
    if dice < 0.78:
        index = int(rng.integers(len(items)))
        word, price = items[index]
        return turn("price", f"{word} costs {price}.", 29, [index], item=choose(rng, (word, word.lower())))
    if dice < 0.88:
        return turn(
            "count items",
            f"There {'is' if len(items) == 1 else 'are'} {len(items)} item{'s' * (len(items) > 1)}.",
            4,
            every,
        )
    return turn("receipt", f"It is a receipt. The total is {document.lines[-1][1]}.", 60, [len(items)])
