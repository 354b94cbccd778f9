"""Pairs of tokens of a prompt that are worth comparing, and the description of a token in words."""

from __future__ import annotations

from dataclasses import dataclass

from qwen2vl_demo.trace import MEDIA_NOUN, MediaTrace, PromptTrace

MAX_MEDIA = 4  # pictures and clips for which pairs are offered, the newest ones
MAX_DIGITS = 9  # of the number of a token
NO_TOKEN = "This prompt has tokens 0 to {:,}; choose two of them."


@dataclass(frozen=True)
class Pair:
    """Two tokens by their number in the prompt."""

    words: str
    first: int
    second: int

    @property
    def key(self) -> str:
        """The pair as text, for a component of the page; unique within a prompt."""
        return f"{self.first},{self.second},{self.words}"

    @classmethod
    def read(cls, key: object) -> Pair | None:
        """The inverse of `key`; None for any other value, since it comes from a browser."""
        if not isinstance(key, str) or key.count(",") < 2:
            return None
        first, second, words = key.split(",", 2)
        numbers = all(number.isdecimal() and len(number) <= MAX_DIGITS for number in (first, second))
        return cls(words, int(first), int(second)) if numbers else None


def pairs_of(trace: PromptTrace) -> list[Pair]:
    """At least one pair for a prompt of two tokens or more, those of the newest picture first."""
    found: list[Pair] = []
    for number, medium in list(enumerate(trace.media, 1))[: -MAX_MEDIA - 1 : -1]:
        found += _of_medium(trace, medium, medium.name or f"{MEDIA_NOUN[medium.kind]} {number}")
    found.append(Pair("The first and the last token of the prompt", 0, len(trace) - 1))
    return found


def token_words(trace: PromptTrace, index: int) -> str:
    """ "token 27: row 2, column 5 of cat.png, at (t, h, w) = (15, 17, 20)" """
    t, h, w = trace.position_ids[:, index].tolist()
    where = f'"{trace.tokens[index]}"'.replace("\n", "\\n")
    for number, medium in enumerate(trace.media, 1):
        start, end = medium.span
        if start <= index < end:
            frame, row, column = _place(medium, index - start)
            time = f"step {frame} of time, " if medium.kind == "video" else ""
            where = f"{time}row {row}, column {column} of {medium.name or f'{MEDIA_NOUN[medium.kind]} {number}'}"
    return f"token {index:,}: {where}, at (t, h, w) = ({t:,}, {h:,}, {w:,})"


def _place(medium: MediaTrace, offset: int) -> tuple[int, int, int]:
    _, rows, columns = medium.merged_grid
    return offset // (rows * columns), offset // columns % rows, offset % columns


def _of_medium(trace: PromptTrace, medium: MediaTrace, name: str) -> list[Pair]:
    times, rows, columns = medium.merged_grid
    start, end = medium.span
    middle = start + rows // 2 * columns + columns // 2
    made: list[Pair] = []
    if columns > 1:
        made.append(Pair(f"{name}: neighbours in a row", middle - 1, middle))
    if rows > 1:
        made.append(Pair(f"{name}: neighbours in a column", middle - columns, middle))
    if times > 1:
        made.append(Pair(f"{name}: the same place, one step of time later", middle, middle + rows * columns))
    if end - start > 1:
        made.append(Pair(f"{name}: its first and its last token", start, end - 1))
    if start >= 2 and end + 1 < len(trace):
        made.append(Pair(f"The words before and behind {name}", start - 2, end + 1))
    return made
