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
from dataclasses import dataclass

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
MAX_LABEL = 80  # characters before a pair that are looked at for its name
LABEL_WORDS = 4


@dataclass(frozen=True)
class NamedPoints:
    """The corners of a box, or one point, as (x, y) in the units of the answer."""

    label: str  # "" for none
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class PlainBoxes:
    """What was found, and the answer as it is shown: without the coordinates where these stand among words."""

    named: list[NamedPoints]
    words: str


def plain_boxes(text: str, most: int) -> PlainBoxes:
    """At most `most` boxes and points of a text without Qwen2-VL's tokens, in order."""
    if '_2d"' in text or '"bbox"' in text or '"point"' in text:
        return PlainBoxes(_in_json(text)[:most], text)
    points = [NamedPoints("", (_xy(m[1], m[2]),)) for p in (_ARGUMENT, _ELEMENT) for m in p.finditer(text)]
    return PlainBoxes(points[:most], text) if points else _pairs(text, most)


def _pairs(text: str, most: int) -> PlainBoxes:
    alone = _ONLY_PAIRS.fullmatch(text) is not None
    named: list[NamedPoints] = []
    pieces: list[str] = []
    at, label = 0, ""
    for match in _PAIR.finditer(text):
        before = text[at : match.start()]
        if before and (before[-1].isalnum() or before[-1] in "\"'"):
            label = _name_at_the_end(before[-MAX_LABEL:])
        elif before.strip(" ,;\n") or not (alone or named):
            continue  # brackets among words: a formula, an interval
        if len(named) < most:
            named.append(NamedPoints(label, (_xy(match[1], match[2]), _xy(match[3], match[4]))))
        between = len(named) > 1 and not before.strip(" ,")
        pieces += ["" if between and label else before, "" if label else f"box {len(named)}"]
        at = match.end()
    if not named:
        return PlainBoxes([], text)
    pieces.append(text[at:])
    return PlainBoxes(named, "".join(pieces))


def without_half_pair(text: str) -> str:
    """A text that is still being written, without the pair of corners that may be coming at its end."""
    return text[:-48] + _HALF_PAIR.sub("", text[-48:])


def _name_at_the_end(text: str) -> str:
    """The last few words, not beyond a mark, an "and" or an "or"."""
    words = (found[0] if (found := _BEFORE.search(text)) else "").strip(" \"'").split()[-LABEL_WORDS:]
    joined = [index for index, word in enumerate(words[:-1]) if word in ("and", "or")]
    return " ".join(words[joined[-1] + 1 :] if joined else words)


def _in_json(text: str) -> list[NamedPoints]:
    """The boxes of each object, with the label that the same object has."""
    named: list[NamedPoints] = []
    label, points = "", list[tuple[tuple[float, float], ...]]()
    for match in _JSON.finditer(text):
        if match["kind"]:
            numbers = [float(n) for n in re.findall(r"\d{1,5}(?:\.\d{1,4})?", match["numbers"])]
            if len(numbers) == (4 if match["kind"].startswith("bbox") else 2):
                points.append(tuple(zip(numbers[::2], numbers[1::2], strict=True)))
        elif match["label"]:
            label = _string(match["label"])
        else:  # an object begins or ends
            named += [NamedPoints(label, one) for one in points]
            label, points = "", []
    return [*named, *(NamedPoints(label, one) for one in points)]


def _string(quoted: str) -> str:
    try:
        return " ".join(str(json.loads(quoted)).split())
    except ValueError:
        return ""


def _xy(x: str, y: str) -> tuple[float, float]:
    return float(x), float(y)
