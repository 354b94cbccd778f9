"""Which picture, clip and moment the words of an answer name for a box: "In picture 2: ...", "at 0:12", "3.5 seconds".

What stands in the same JSON object counts first, then the last mention before the box, then the first one behind it.
Every pattern reads a bounded number of characters.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from qwen2vl_demo.ui.chat.conversation import MediumKind
from qwen2vl_demo.ui.chat.named_times import TimeSpan, find_times, in_clip
from qwen2vl_demo.viz.plain_boxes import FoundBox

_KINDS: dict[str, MediumKind] = {
    **dict.fromkeys(("picture", "image", "photo"), "image"),
    **dict.fromkeys(("clip", "video"), "video"),
}
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_NOUN = "|".join(_KINDS)
_NUMBERED = re.compile(
    rf"\b(?:(?P<noun>{_NOUN})[ _]{{1,2}}#?(?P<number>\d{{1,3}})"
    rf"|(?P<ordinal>{'|'.join(_ORDINALS)}) (?P<what>{_NOUN}))\b",
    re.IGNORECASE | re.ASCII,
)
T = TypeVar("T")
OBJECT = 2000  # characters before and behind a box in which its JSON object begins and ends


@dataclass(frozen=True)
class NamedMedium:
    """The picture or clip of this number, from 1."""

    kind: MediumKind
    number: int


class NamedPlaces:
    """What an answer names, and where."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._media = [(m.start(), _medium(m)) for m in _NUMBERED.finditer(text)]
        self._times = [(time.start, time.span) for time in find_times(text)]

    def medium(self, box: FoundBox) -> NamedMedium | None:
        return self.nearest(box, self._media)

    def moments(self, clip: Mapping[str, Any] | None) -> list[tuple[int, TimeSpan]]:
        """The times that are moments of a clip (as in `seen_frames.py`), and where they stand; all of them, of a clip
        of which nothing is known."""
        if clip is None:
            return self._times
        return [(at, moment) for at, time in self._times if (moment := in_clip(time, clip))]

    def nearest(self, box: FoundBox, named: Sequence[tuple[int, T]]) -> T | None:
        """Of what is named, in the order of the words, that which a box has."""
        if not named:
            return None
        if box.dialect == "json":
            start = self._text.rfind("{", max(0, box.at - OBJECT), box.at)
            end = self._text.find("}", box.at, box.at + OBJECT)
            within = bisect_right(named, start, key=lambda item: item[0])
            if 0 <= start < end and within < len(named) and named[within][0] < end:
                return named[within][1]
        before = bisect_right(named, box.at, key=lambda item: item[0])
        return named[before - 1 if before else 0][1]


def _medium(match: re.Match[str]) -> NamedMedium:
    if match["noun"]:
        return NamedMedium(_KINDS[match["noun"].lower()], int(match["number"]))
    return NamedMedium(_KINDS[match["what"].lower()], _ORDINALS.index(match["ordinal"].lower()) + 1)
