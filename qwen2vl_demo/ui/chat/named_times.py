"""The times in the words of an answer: "0:12", "00:01:07", "3.5 s", "1 min 5 s", "from 2 to 4 seconds", "time": 2.5.

static/clock-times.js finds the same ones in what the browser has drawn; both are tested with
tests/ui/chat/named_times.json. What only looks like a time is left: "16:9", a score, "for 5 seconds", "4:30 pm".
Every quantifier is bounded, and what stands around a time is looked at for some characters only.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

AFTER_END = 0.05  # s, by which a time may lie behind the end of a clip, as it is written with one digit

_CLOCK = r"(?:[0-9]{1,2}:[0-5][0-9]|[0-9]{1,3}):[0-5][0-9](?:\.[0-9]{1,3})?"
_NUMBER = r"[0-9]{1,5}(?:\.[0-9]{1,3})?"
_UNIT = r"\s?(?:seconds?|secs?|s)(?![\w'’-])"
_TO = r"\s{0,2}(?:-|–|—|to|until|through)\s{0,2}"
_TIME = re.compile(
    r"(?<![\w.:$€£¥#/+\-−])(?:"
    rf"(?P<clock>{_CLOCK})(?:{_TO}(?P<clock_to>{_CLOCK}))?(?![\w:]|\.[0-9])"
    rf"|(?P<minutes>[0-9]{{1,3}})\s?(?:minutes?|mins?|m)\s?(?:,\s|and\s)?(?P<rest>{_NUMBER}){_UNIT}"
    rf"|(?<=between\s)(?P<low>{_NUMBER})(?:{_UNIT})?\sand\s(?P<high>{_NUMBER}){_UNIT}"
    rf"|(?P<mark>{_NUMBER})-seconds?(?=\smark)"
    rf"|(?:(?P<first>{_NUMBER})(?:{_UNIT})?{_TO})?(?P<at>{_NUMBER}){_UNIT})"
    r'|"(?:time|timestamp|seconds)"\s{0,4}:\s{0,4}"?(?P<value>[0-9]{1,5}(?:\.[0-9]{1,17})?)(?![0-9:.])',
    re.IGNORECASE,
)
_BEFORE = 40  # characters before a time that can say what it is
_BEHIND = 24
_ABOUT = r"(?:(?:about|around|approximately|roughly|nearly|almost|just|only|the)\s){0,2}$"
_ANY_CASE = re.IGNORECASE | re.ASCII
_PLACE = re.compile(rf"\b(?:at|from|between|until|since|after|timestamps?|time|second)[:\s]\s?{_ABOUT}", _ANY_CASE)
# What is so long, or so much later, and no time of the clip
_LENGTH = re.compile(
    r"\b(?:for|lasts?|lasted|lasting|first|last|next|final|every|each|per|takes?|took|taking|over|within|in|of|than|"
    rf"duration|length|is|was|a|an|another|additional)[:\s]\s?{_ABOUT}",
    _ANY_CASE,
)
_LENGTH_BEHIND = re.compile(
    r"(?:-|\s)?(?:long|longer|shorter|more|less|later|earlier|ago|apart|before|after|of|in (?:length|total)|clips?|"
    r"videos?|intervals?|delay|pause|each|per)\b",
    _ANY_CASE,
)
_LATER = re.compile(r"\s(?:long|later|earlier|ago|apart|before|after)\b", re.ASCII)
_DECADES = re.compile(r"[0-9]{1,3}0s")
_DECADE = re.compile(r"\b(?:the|early|late|mid)[\s-]$", _ANY_CASE)  # "the 60s"
_YEARS = re.compile(r"(?:1[0-9]|20)[0-9]0s")  # "1960s"
_RATIO = re.compile(
    r"\b(?:ratios?|aspect|scale|odds|scores?|scored|won|lost|beat|verse|chapter|proportions?)\b[^.!?\n]{0,16}$",
    _ANY_CASE,
)
_SHOWN = re.compile(r"\b(?:clock|watch|timer|scoreboard|display)\b[^.!?\n]{0,24}$", _ANY_CASE)  # read in the picture
_RATIO_BEHIND = re.compile(
    r"\s?(?:ratio|aspect|display|screen|monitor|format|resolution|split|scale|mix|win|loss)\b", _ANY_CASE
)
_OF_DAY = re.compile(r"\s?(?:[ap]\.?m\b|h\b|hrs?\b|o['’]clock)", _ANY_CASE)
_THOUSANDS = re.compile(r"[0-9],$")  # "1,200 s"
# Marks of Markdown around words, which the browser does not draw
_EMPHASIS = re.compile(r"(?<![0-9A-Za-z])[*_`~]{1,3}|[*_`~]{1,3}(?![0-9A-Za-z])")


@dataclass(frozen=True)
class TimeSpan:
    """Seconds, as they are written or from the beginning of a clip. Mostly both are the same."""

    first: float
    last: float


@dataclass(frozen=True)
class NamedTime:
    """A time, and where it stands in an answer."""

    start: int
    end: int
    span: TimeSpan


def find_times(text: str) -> list[NamedTime]:
    """Every time in an answer, in its order."""
    marks = [match.span() for match in _EMPHASIS.finditer(text)]
    removed = list(accumulate((end - start for start, end in marks), initial=0))
    cuts = [start - gone for (start, _), gone in zip(marks, removed, strict=False)]  # where they stood, without them

    def place(at: int) -> int:
        return at + removed[bisect_right(cuts, at)]

    found = []
    for match, span in _times_in(_EMPHASIS.sub("", text)):
        start = match.start("value") if match["value"] else match.start()
        found.append(NamedTime(place(start), place(match.end() - 1) + 1, span))
    return found


def in_clip(time: TimeSpan, clip: Mapping[str, Any]) -> TimeSpan | None:
    """What a written time is in a clip (as in `seen_frames.py`), or None beyond it.

    A model that was shown a part, and no times, counts from the part's beginning; a time that this cannot be, but lies
    in the part, was taken from the question.
    """
    start, end = clip["range"] or (0.0, clip["duration"])
    for begin in dict.fromkeys((clip["from"], 0.0)):
        if time.first + begin >= start and time.last + begin <= end + AFTER_END:
            return TimeSpan(time.first + begin, time.last + begin)
    return None


def frame_of(times: Sequence[float], span: TimeSpan) -> int:
    """Which of the frames at these times is meant: the first one within the span, else the nearest to its beginning."""
    if span.last > span.first:
        for index, time in enumerate(times):
            if span.first - AFTER_END <= time <= span.last + AFTER_END:
                return index
    return min(range(len(times)), key=lambda index: abs(times[index] - span.first))


def _times_in(text: str) -> list[tuple[re.Match[str], TimeSpan]]:
    found = []
    for match in _TIME.finditer(text):
        before = text[max(0, match.start() - _BEFORE) : match.start()]
        behind = text[match.end() : match.end() + _BEHIND]
        if match["clock"]:
            if _RATIO.search(before) or _SHOWN.search(before) or _RATIO_BEHIND.match(behind) or _OF_DAY.match(behind):
                continue
            first, last = _seconds(match["clock"]), _seconds(match["clock_to"] or match["clock"])
        elif exact := match["value"] or match["mark"]:
            first = last = float(exact)
        elif _is_no_moment(match[0], before, behind):
            continue
        elif match["minutes"]:
            first = last = 60 * int(match["minutes"]) + float(match["rest"])
        elif match["low"]:
            first, last = float(match["low"]), float(match["high"])
        else:
            first, last = float(match["first"] or match["at"]), float(match["at"])
        if first <= last:
            found.append((match, TimeSpan(first, last)))
    return found


def _is_no_moment(whole: str, before: str, behind: str) -> bool:
    """Whether so many seconds are a length, years or a piece of a longer number."""
    if _THOUSANDS.search(before) or _YEARS.fullmatch(whole):
        return True
    if _DECADES.fullmatch(whole) and _DECADE.search(before) and not behind.startswith(" mark"):
        return True
    if _PLACE.search(before):
        return _LATER.match(behind) is not None
    return _LENGTH.search(before) is not None or _LENGTH_BEHIND.match(behind) is not None


def _seconds(clock: str) -> float:
    total = 0.0
    for part in clock.split(":"):
        total = 60 * total + float(part)
    return total
