"""Labels of boxes stand beside what they name, as geometry: none hides what it need not."""

import random

import pytest

from qwen2vl_demo.viz.label_places import Rect, label_places

SIZE = (600, 800)
LABEL = (20, 60)


def hidden(one: Rect, other: Rect) -> float:
    """Pixels that two rectangles share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def labels(subjects: list[Rect], label: tuple[int, int] = LABEL) -> list[Rect]:
    places = label_places(SIZE, subjects, [label] * len(subjects))
    return [(left, top, left + label[1], top + label[0]) for left, top in places]


@pytest.mark.parametrize(
    "subject",
    [
        (300, 200, 500, 400),  # room everywhere
        (300, 0, 500, 400),  # none above
        (0, 0, 800, 500),  # below only
        (0, 100, 800, 600),  # above only
        (0, 0, 700, 600),  # to the right only
        (100, 0, 800, 600),  # to the left only
        (0, 0, 30, 10),  # smaller than its label, in a corner
        (790, 590, 800, 600),
        (400, 300, 401, 301),
    ],
)
def test_a_label_stands_outside_its_box_wherever_there_is_room(subject: Rect) -> None:
    (label,) = labels([subject])
    assert hidden(label, subject) == 0
    assert label[0] >= 0 and label[1] >= 0 and label[2] <= 800 and label[3] <= 600


def test_a_box_of_the_whole_picture_has_its_label_in_a_corner() -> None:
    assert labels([(0, 0, 800, 600)]) == [(0, 0, 60, 20)]


def test_a_label_hides_no_neighbour_if_another_side_is_free() -> None:
    """Above the lower box stands the upper one, without room between them: the label goes below."""
    upper, lower = (300, 100, 400, 200), (300, 200, 400, 300)
    found = labels([upper, lower])
    assert [hidden(label, box) for label in found for box in (upper, lower)] == [0, 0, 0, 0]


def test_a_small_thing_within_a_large_one_is_not_hidden() -> None:
    """The label of the lamp must lie in the room around it, which is named too, but neither on the lamp nor the cat."""
    room, lamp, cat = (0, 0, 800, 600), (100, 40, 140, 120), (100, 20, 160, 40)
    found = labels([room, lamp, cat])
    assert all(hidden(label, subject) == 0 for label in found for subject in (lamp, cat))


def test_labels_of_one_place_stand_apart() -> None:
    found = labels([(300, 200, 500, 400)] * 6)
    assert all(hidden(one, other) == 0 for i, one in enumerate(found) for other in found[:i])


@pytest.mark.parametrize("seed", range(20))
def test_among_scattered_boxes_no_label_hides_anything(seed: int) -> None:
    """One box in each cell of a 4x4 grid of 200x150 px, at least 25 px of whose cell are free above or below it."""
    chance = random.Random(seed)
    subjects: list[Rect] = []
    for row in range(4):
        for column in range(4):
            left, top = 200 * column + chance.randint(0, 60), 150 * row + chance.randint(0, 40)
            subjects.append((left, top, left + chance.randint(20, 130), top + chance.randint(10, 80)))
    found = labels(subjects)
    assert all(hidden(label, subject) == 0 for label in found for subject in subjects)
    assert all(hidden(one, other) == 0 for i, one in enumerate(found) for other in found[:i])


def test_a_label_keeps_to_its_box_for_the_edge_of_a_larger_one() -> None:
    """The ear begins 2 px below the top of the rabbit: its label covers these 2 px rather than stand apart."""
    rabbit, ear = (220, 160, 340, 290), (250, 162, 273, 218)
    left, top, right, bottom = labels([rabbit, ear])[1]
    assert hidden((left - 1, top - 1, right + 1, bottom + 1), ear) > 0
    assert hidden((left, top, right, bottom), ear) == 0
