"""Boxes and points in text that has none of Qwen2-VL's tokens around them.

Four ways of writing are known:

- pairs of corners right behind a name, `the cat(100,200),(500,800)`, or alone in the whole answer: what is left of
  Qwen2-VL's own markup where a server leaves special tokens out;
- JSON objects with `bbox_2d` or `point_2d`, and a `label`, as in the cookbooks of Qwen2.5-VL and Qwen3-VL;
- `start_box='(x,y)'` and `end_box=...`, the arguments of an action of UI-TARS;
- `<point>x y</point>`, of the same family.

Every step is linear in the length of the text: each pattern reads a bounded number of characters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

_NUMBER = r"(\d{1,5}(?:\.\d{1,4})?)"
_POINT = rf"\( ?{_NUMBER} ?, ?{_NUMBER} ?\)"
_PAIR = re.compile(rf"{_POINT} ?, ?{_POINT}")
_ONLY_PAIRS = re.compile(r"[\s\d.,;()]*")
_HALF_PAIR = re.compile(r"(?<=\w)\([\d., )(]{0,40}\Z")
_ARGUMENT = re.compile(rf"(?:start_box|end_box|point) ?= ?['\"]{_POINT}['\"]")
_ELEMENT = re.compile(rf"<point> ?{_NUMBER}[ ,]{{1,2}}{_NUMBER} ?</point>")
_JSON = re.compile(
    r'[{}]|"(?P<kind>bbox_2d|bbox|point_2d|point)"\s{0,8}:\s{0,8}\[(?P<numbers>[\d.,\s]{1,200})\]'
    r'|"(?:label|name|text_content)"\s{0,8}:\s{0,8}(?P<label>"(?:[^"\\\n]|\\.){0,200}")'
)
_BEFORE = re.compile(r"[^\n.,;:()]*\Z")
_WORD = re.compile(r"\S+")
MAX_LABEL = 80  # characters before a pair that are looked at for its name
LABEL_WORDS = 4


Dialect = Literal["tags", "pairs", "json", "action"]  # "tags": with Qwen2-VL's tokens


@dataclass(frozen=True)
class FoundBox:
    """The corners of a box, or one point, as (x, y) in the units of the answer."""

    label: str  # "" for none
    points: tuple[tuple[float, float], ...]
    at: int  # where it stands in the answer
    dialect: Dialect


@dataclass(frozen=True)
class BoxName:
    """The part of the words that names some boxes: their name, "box 2", or their numbers where these are shown."""

    start: int
    end: int
    boxes: tuple[int, ...]  # by their index in the answer


@dataclass(frozen=True)
class BoxedAnswer:
    """What was found, and the answer as it is shown: without the coordinates where these stand among words."""

    words: str
    boxes: tuple[FoundBox, ...] = ()
    names: tuple[BoxName, ...] = ()  # in the order of the words


def plain_boxes(text: str, most: int) -> BoxedAnswer:
    """At most `most` boxes and points of a text without Qwen2-VL's tokens, in order."""
    if '_2d"' in text or '"bbox"' in text or '"point"' in text:
        return _in_json(text, most)
    points = [m for pattern in (_ARGUMENT, _ELEMENT) for m in pattern.finditer(text)][:most]
    if not points:
        return _pairs(text, most)
    boxes = tuple(FoundBox("", (_xy(m[1], m[2]),), m.start(), "action") for m in points)
    return BoxedAnswer(text, boxes, _in_order(BoxName(m.start(1), m.end(2), (i,)) for i, m in enumerate(points)))


def _pairs(text: str, most: int) -> BoxedAnswer:
    alone = _ONLY_PAIRS.fullmatch(text) is not None
    boxes: list[FoundBox] = []
    names: list[BoxName] = []
    words, at, label = "", 0, ""
    pieces: list[str] = []
    length = 0  # of the pieces together
    for match in _PAIR.finditer(text):
        before = text[at : match.start()]
        new = bool(before) and (before[-1].isalnum() or before[-1] in "\"'")
        if new:
            words = before[-MAX_LABEL:]
            first, label = _name_at_the_end(words)
        elif before.strip(" ,;\n") or not (alone or boxes):
            continue  # brackets among words: a formula, an interval
        number = len(boxes) + 1
        kept = number <= most
        if kept:
            points = (_xy(match[1], match[2]), _xy(match[3], match[4]))
            boxes.append(FoundBox(label, points, match.start(), "pairs"))
        between = len(boxes) > 1 and not before.strip(" ,")
        lead, instead = "" if between and label else before, "" if label else f"box {len(boxes)}"
        pieces += [lead, instead]
        length += len(lead)
        if kept and new and label:
            names.append(BoxName(length - len(words) + first, length, (number - 1,)))
        elif kept and label:
            names[-1] = replace(names[-1], boxes=(*names[-1].boxes, number - 1))
        elif kept:
            names.append(BoxName(length, length + len(instead), (number - 1,)))
        length += len(instead)
        at = match.end()
    if not boxes:
        return BoxedAnswer(text)
    pieces.append(text[at:])
    return BoxedAnswer("".join(pieces), tuple(boxes), tuple(names))


def without_half_pair(text: str) -> str:
    """A text that is still being written, without the pair of corners that may be coming at its end."""
    return text[:-48] + _HALF_PAIR.sub("", text[-48:])


def _name_at_the_end(text: str) -> tuple[int, str]:
    """The last few words, not beyond a mark, an "and" or an "or", and where they begin."""
    start = found.start() if (found := _BEFORE.search(text)) else len(text)
    words = [(m.start(), m[0]) for m in _WORD.finditer(text, start)]
    words = [word for word in words if word[1].strip("\"'")][-LABEL_WORDS:]
    joined = [index for index, word in enumerate(words[:-1]) if word[1] in ("and", "or")]
    words = words[joined[-1] + 1 :] if joined else words
    label = " ".join(word for _, word in words).strip("\"'")
    return (words[0][0] if words else len(text)), label


def _in_json(text: str, most: int) -> BoxedAnswer:
    """The boxes of each object, with the label that the same object has."""
    boxes: list[FoundBox] = []
    names: list[BoxName] = []
    label: re.Match[str] | None = None
    points: list[tuple[re.Match[str], tuple[tuple[float, float], ...]]] = []

    def end_object() -> None:
        nonlocal label, points
        for match, corners in points[: most - len(boxes)]:
            name = _string(label["label"]) if label else ""
            start, end = (label.start("label") + 1, label.end("label") - 1) if label and name else match.span("numbers")
            if names and names[-1].start == start:
                names[-1] = replace(names[-1], boxes=(*names[-1].boxes, len(boxes)))
            else:
                names.append(BoxName(start, end, (len(boxes),)))
            boxes.append(FoundBox(name, corners, match.start(), "json"))
        label, points = None, []

    for match in _JSON.finditer(text):
        if match["kind"]:
            numbers = [float(n) for n in re.findall(r"\d{1,5}(?:\.\d{1,4})?", match["numbers"])]
            if len(numbers) == (4 if match["kind"].startswith("bbox") else 2):
                points.append((match, tuple(zip(numbers[::2], numbers[1::2], strict=True))))
        elif match["label"]:
            label = match
        else:  # an object begins or ends
            end_object()
    end_object()
    return BoxedAnswer(text, tuple(boxes), _in_order(names))


def _in_order(names: Iterable[BoxName]) -> tuple[BoxName, ...]:
    return tuple(sorted(names, key=lambda name: name.start))


def _string(quoted: str) -> str:
    try:
        return " ".join(str(json.loads(quoted)).split())
    except ValueError:
        return ""


def _xy(x: str, y: str) -> tuple[float, float]:
    return float(x), float(y)
