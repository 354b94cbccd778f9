"""Where the labels of boxes stand: beside what they name, over nothing else that is named, not over one another.

Everything is in pixels, a rectangle is (left, top, right, bottom). A label has some dozens of places to choose from,
around its box and in its corners, and takes the one that hides least. What it hides of a subject counts by its share of
that subject, so that a label within a large box of something around it does little harm.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qwen2vl_demo.geometry import Size

Rect = tuple[float, float, float, float]
SLIDES = 5  # places along each edge
BESIDE, INSIDE = 4 * SLIDES + 4, 4  # places that touch the box from outside, and those in its corners
TAG_OVER_TAG = 1000.0  # what it costs that a label hides another; all of a subject costs 1
AROUND = 0.2  # what costs 1 in other places, in a box that has this one in it
APART = 0.002  # what it costs that a label does not touch its box
LATER = 1e-7  # and that a place is further down the list: less than the smallest share that can be hidden


def label_places(size: Size, subjects: Sequence[Rect], labels: Sequence[Size]) -> list[tuple[int, int]]:
    """The (left, top) of each label, of (height, width), in a picture of `size`. `subjects` are what they name. A label
    that is larger than the picture begins at its edge."""
    boxes = np.asarray(subjects, float).reshape(-1, 4)
    placed = np.empty((0, 4))
    places = [(0, 0)] * len(boxes)
    order = np.argsort((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), kind="stable")  # small ones first
    for index in map(int, order):
        label = labels[index]
        corners = np.rint(_candidates(size, boxes[index], label))
        tags = np.concatenate([corners, corners + np.array(label[::-1])], 1)
        shares = _hidden(tags, boxes) / np.maximum(_area(boxes), 1.0)
        enclosing = [boxes[:, :2] <= boxes[index, :2], boxes[:, 2:] >= boxes[index, 2:]]
        around = np.logical_and.reduce(np.concatenate(enclosing, 1), axis=1)
        around[index] = False
        cost = shares @ np.where(around, AROUND, 1.0) + LATER * np.arange(len(tags))
        cost[BESIDE:-INSIDE] += APART
        cost += TAG_OVER_TAG * _hidden(tags, placed).sum(1) / max(1, label[0] * label[1])
        best = int(cost.argmin())
        placed = np.concatenate([placed, tags[best : best + 1]])
        places[index] = (int(corners[best, 0]), int(corners[best, 1]))
    return places


def _candidates(size: Size, box: np.ndarray, label: Size) -> np.ndarray:
    """(n, 2): the (left, top) of every place, best first, within the picture."""
    (left, top, right, bottom), (height, width) = box, label
    across = np.linspace(left, right - width, SLIDES)
    down = np.linspace(top, bottom - height, SLIDES)
    above, below = top - height, bottom
    before, behind = left - width, right
    beside = [
        *((x, y) for y in (above, below) for x in across),
        *((x, y) for x in (behind, before) for y in down),
        *((x, y) for x in (before, behind) for y in (above, below)),
    ]
    apart = [
        *((x, y) for y in (above - height, below + height) for x in across),
        *((x, y) for x in (behind + width / 2, before - width / 2) for y in down),
    ]
    inside = [(x, y) for y in (top, bottom - height) for x in (left, right - width)]
    assert (len(beside), len(inside)) == (BESIDE, INSIDE)
    places = np.array([*beside, *apart, *inside])
    most = np.array([max(0, size[1] - width), max(0, size[0] - height)])
    moved: np.ndarray = np.clip(places, 0, most)
    return moved


def _area(rects: np.ndarray) -> np.ndarray:
    found: np.ndarray = (rects[:, 2] - rects[:, 0]) * (rects[:, 3] - rects[:, 1])
    return found


def _hidden(tags: np.ndarray, rects: np.ndarray) -> np.ndarray:
    """(tags, rects): how many pixels of each rectangle each tag hides."""
    low = np.maximum(tags[:, None, :2], rects[None, :, :2])
    high = np.minimum(tags[:, None, 2:], rects[None, :, 2:])
    found: np.ndarray = np.clip(high - low, 0, None).prod(2)
    return found
