"""Questions about charts, receipts and opening hours, and their one true answer, read off the paper.

Contract: `paper_conversation` makes a conversation about one paper; this module draws through papers.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.dialogue.conversations import Sample, Turn
from qwen2vl_demo.nano.dialogue.phrases import PHRASES
from qwen2vl_demo.nano.dialogue.wording import count_sentence, say
from qwen2vl_demo.nano.training.attention_targets import Focus, cells_under, written
from qwen2vl_demo.nano.world.documents import Bar, Paper, draw_paper, random_paper
from qwen2vl_demo.nano.world.layout import random_size
from qwen2vl_demo.nano.world.scene import COLOURS, WORDS, Sign, choose


def paper_conversation(
    rng: np.random.Generator, size: tuple[int, int] | None, _: int | None, turns: int, phrasings: str
) -> Sample:
    paper = random_paper(rng, size or random_size(rng))
    pixels, cells = draw_paper(paper, rng)
    made: list[Turn] = []
    while len(made) < turns:
        for _attempt in range(4):  # an answer that was given already teaches little
            turn = _ask_chart(rng, paper, phrasings) if paper.bars else _ask_lines(rng, paper, phrasings)
            if all(turn.answer != earlier.answer for earlier in made):
                break
        made.append(Turn(turn.question, turn.answer, turn.family, () if made else (0,), turn.choices, turn.focus))
    return Sample((pixels,), tuple(made), ((cells,),))


def _rests(paper: Paper, parts: Sequence[Bar | Sign], answer: str) -> tuple[Focus, ...]:
    """The whole answer rests on the parts it is about, but each character of an amount on where that is written."""
    boxes = [part.box for part in parts] + [sign.box for part in parts if isinstance(part, Bar) for sign in part.signs]
    cells = {cell for box in boxes for cell in cells_under(box, paper.height, paper.width)}
    amounts = [part for part in parts if isinstance(part, Sign) and part.text not in WORDS]
    if len(parts) == 1 and isinstance(parts[0], Bar):
        amounts = [parts[0].signs[0]]
    pieces: list[Focus] = []
    for sign in amounts:
        at = answer.find(sign.text, pieces[-1].end if pieces else 0)
        if at >= 0:
            pieces += written(sign, at, 0, paper.height, paper.width)
            first = -len(sign.text)
            pieces[first] = replace(pieces[first], start=at - 1)  # the space before it is part of its first token
    whole = Focus(0, pieces[0].start if pieces else len(answer), 0, tuple(sorted(cells)))
    return (whole, *pieces) if cells else ()


def describe_chart(paper: Paper) -> str:
    """ "It is a bar chart with 4 bars. C is the highest."."""
    kind, part = ("bar", "bars") if paper.kind == "bars" else ("line", "points")
    top = max(paper.bars, key=lambda bar: bar.value)
    return f"It is a {kind} chart with {len(paper.bars)} {part}. {top.letter} is the highest."


def _ask_chart(rng: np.random.Generator, paper: Paper, phrasings: str) -> Turn:
    part = "bar" if paper.kind == "bars" else "point"
    bars, dice = paper.bars, rng.random()
    bar = choose(rng, bars)

    def turn(key: str, answer: str, choices: int, about: Sequence[Bar] = (), **fields: str) -> Turn:
        question = say(rng, PHRASES[key], phrasings, part=part, parts=part + "s", **fields)
        return Turn(question, answer, "chart", (), choices, _rests(paper, about, answer))

    if dice < 0.12:
        return turn("chart", describe_chart(paper), 60, bars)
    if dice < 0.26:
        return turn("count bars", count_sentence(len(bars), part), 5, bars)
    if dice < 0.5:
        high = rng.random() < 0.6
        best = (max if high else min)(bars, key=lambda b: b.value)
        word = "highest" if high else "lowest"
        return turn(word, f"{best.letter} is the {word}.", len(bars), [best])
    if dice < 0.76:
        return turn("value", f"The value of {bar.letter} is {bar.value}.", 95, [bar], letter=bar.letter)
    if dice < 0.86 and paper.kind == "bars":
        answer = f"Bar {bar.letter} is {bar.colour}."
        return turn("bar colour", answer, len(COLOURS), [bar], letter=bar.letter)
    other = choose(rng, [b for b in bars if b is not bar])
    answer = f"{max(bar, other, key=lambda b: b.value).letter} is higher."
    # The head looks at the higher one: of two at once the rest of the model could not tell which is which.
    return turn("is higher", answer, 2, [max(bar, other, key=lambda b: b.value)], letter=bar.letter, other=other.letter)


def _ask_lines(rng: np.random.Generator, paper: Paper, phrasings: str) -> Turn:
    dice = rng.random()
    receipt = paper.kind == "receipt"

    def turn(key: str, answer: str, choices: int, about: Sequence[int] = (), **fields: str) -> Turn:
        # Of one line the amount: it is told by the word beside it, which the merged token of the amount knows.
        signs = [sign for index in about for sign in paper.line_signs[index][len(about) == 1 :]]
        question = say(rng, PHRASES[key], phrasings, **fields)
        return Turn(question, answer, "read", (), choices, _rests(paper, signs, answer))

    every = range(len(paper.lines))
    if not receipt:
        (_, opens), (_, closes) = paper.lines
        if dice < 0.45:
            return turn("opens", f"It opens at {opens}.", 6, [0])
        if dice < 0.9:
            return turn("closes", f"It closes at {closes}.", 11, [1])
        return turn("hours", f"It is open from {opens} to {closes}.", 66, every)
    items = paper.lines[:-1]
    if dice < 0.4:
        return turn("total", f"The total is {paper.lines[-1][1]}.", 60, [len(items)])
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
    return turn("receipt", f"It is a receipt. The total is {paper.lines[-1][1]}.", 60, [len(items)])
