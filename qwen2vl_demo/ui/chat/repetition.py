"""Notices, while an answer is written, that it says the same again and again.

What is looked for is exact: the end of the text is one unit, repeated without a gap. A loop never ends, so it reaches
any length, and the length decides what may also be an answer:

- A unit of words alone (letters, spaces, and the marks of sentences and lists) must fill WORDS characters, about 150
  tokens. A column of thirty times "- yes", or a chorus, has fewer.
- Any other unit, with digits or with the signs of code and tables, must fill OTHER characters: 28 rows of 28 zeros, an
  empty table of 15x12 cells in HTML, and a line of 2,000 dashes have fewer.
- Either must stand there MIN_TIMES times, so that a paragraph which is quoted once or twice is none.

What counts up ("1. yes 2. yes") is no repetition: that is how lists and tables are written.
"""

from __future__ import annotations

import unicodedata

WORDS = 600  # characters of repeated words
OTHER = 3000  # characters of anything else that is repeated
MIN_TIMES = 4
WINDOW = 4000  # characters that are looked at: units of up to WINDOW / MIN_TIMES are found
STEP = 200  # characters between two looks, so that each character is looked at WINDOW / STEP times

OF_CODE = frozenset("#%&@/\\_{}[]")  # marks that stand in code and tables rather than in sentences and lists


class Repetition:
    """Reads an answer in pieces. Constant memory, and time linear in the answer."""

    def __init__(self) -> None:
        self._end = ""  # the last WINDOW characters
        self._unseen = 0

    def push(self, text: str) -> bool:
        """Whether the answer, with this text behind what came before, ends in a repetition."""
        self._unseen += len(text)
        self._end = (self._end + text)[-WINDOW:]
        if self._unseen < STEP:
            return False
        self._unseen = 0
        return ends_in_repetition(self._end)


def ends_in_repetition(text: str) -> bool:
    """Whether the last characters of a text are one unit again and again, as said above.

    Read backwards, they are a prefix with a period. Its length less that of its longest border is the smallest period
    (Knuth, Morris and Pratt), so one pass gives the period of every prefix.
    """
    backwards = text[::-1]
    border = [0] * len(backwards)
    words: dict[int, bool] = {}  # whether the unit of this length is words
    for index in range(1, len(backwards)):
        length = border[index - 1]
        while length and backwards[index] != backwards[length]:
            length = border[length - 1]
        border[index] = length + (backwards[index] == backwards[length])
        size = index + 1
        if size < WORDS:
            continue
        period = size - border[index]
        if size < MIN_TIMES * period:
            continue
        if period not in words:
            words[period] = _is_words(backwards[:period])
        if words[period] or size >= OTHER:
            return True
    return False


def _is_words(unit: str) -> bool:
    """Whether there are letters, and nothing beside them but spaces and the marks of sentences and lists."""
    kinds = {unicodedata.category(sign)[0] if sign not in OF_CODE else "S" for sign in unit if not sign.isspace()}
    return "L" in kinds and kinds <= {"L", "M", "P"}  # letters, their accents, punctuation
