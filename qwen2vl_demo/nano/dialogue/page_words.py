"""The words of a printed page, where they are printed, and how a visitor may mistype them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from qwen2vl_demo.nano.dialogue.attention_targets import run_targets
from qwen2vl_demo.nano.dialogue.dialogue import AttentionTarget
from qwen2vl_demo.nano.world.pages import TextLine, TextPage
from qwen2vl_demo.nano.world.scene import choose

_WORD = re.compile(r"""["'(]?([A-Za-z0-9](?:[A-Za-z0-9'-]*[A-Za-z0-9])?)[.,;:!?)"']*""")  # with signs around it


@dataclass(frozen=True)
class PageWord:
    """A word of a page: the characters [start, end) of a line, without the signs around it."""

    text: str
    line: TextLine
    start: int
    end: int


class Reading:
    """A page and the words of each of its lines, in reading order; None for what is no word, like "x!=3"."""

    def __init__(self, page: TextPage) -> None:
        self.page = page
        self.lower = page.text.lower()
        self.words: list[list[PageWord | None]] = []
        for line in page.lines:
            found: list[PageWord | None] = []
            for token in re.finditer(r"\S+", line.text):
                match = _WORD.fullmatch(token[0])
                at = token.start()
                found.append(PageWord(match[1], line, at + match.start(1), at + match.end(1)) if match else None)
            self.words.append(found)

    @property
    def all_words(self) -> list[PageWord]:
        return [word for words in self.words for word in words if word]

    def only_once(self, word: str) -> bool:
        return self.lower.count(word.lower()) == 1


def line_targets(
    page: TextPage, line: TextLine, start: int, first: int = 0, last: int | None = None
) -> list[AttentionTarget]:
    """The targets of the characters [first, last) of a line, quoted from character `start` of an answer on."""
    targets: list[AttentionTarget] = []
    last = len(line.text) if last is None else last
    before = 0
    for run in line.runs:
        low, high = max(first, before), min(last, before + len(run.text))
        if low < high:
            targets += run_targets(page, run, start + low - first, part=slice(low - before, high - before))
        before += len(run.text)
    if targets:  # a token includes the space or quotation mark before it
        targets[0] = replace(targets[0], start=max(0, min(start - 1, targets[0].start)))
    return targets


def as_typed(rng: np.random.Generator, word: str) -> str:
    dice = rng.random()
    return word if dice < 0.55 else word.lower() if dice < 0.8 else word.upper() if dice < 0.9 else word.capitalize()


def near_miss(rng: np.random.Generator, word: str) -> str:
    """The word with one character replaced, left out, doubled, or swapped with the next one."""
    at, dice = int(rng.integers(len(word))), rng.random()
    if dice < 0.5:
        pool = "0123456789" if word[at].isdigit() else "abcdefghijklmnopqrstuvwxyz"
        new = choose(rng, pool)
        return word[:at] + (new.upper() if word[at].isupper() else new) + word[at + 1 :]
    if dice < 0.65:
        return word[:at] + word[at + 1 :]
    if dice < 0.8:
        return word[: at + 1] + word[at:]
    return word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :]
