"""The studies of the model card: IoU of boxes, and that each study varies exactly what it is about."""

import numpy as np
import pytest
import torch

from qwen2vl_demo.checkpoint.load import load_model
from qwen2vl_demo.nano.evaluation.studies import (
    BUDGETS,
    box_iou,
    by_budget,
    by_icon_set,
    by_size,
    mean_box_iou,
    small_print,
    without_positions,
)
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.processing.chat import ChatTemplate
from qwen2vl_demo.processing.tokenizer import Tokenizer
from qwen2vl_demo.resources import NANO


@pytest.fixture(scope="module")
def nano():
    model = load_model(NANO, device=torch.device("cpu"), dtype=torch.float32)
    return model, Tokenizer.from_directory(NANO), ChatTemplate.from_directory(NANO)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((0, 0, 10, 10), 1.0),
        ((5, 0, 15, 10), 50 / 150),  # half of each is shared
        ((20, 20, 30, 30), 0.0),
        ((10, 0, 20, 10), 0.0),  # they touch
        ((2, 2, 4, 4), 4 / 100),
    ],
)
def test_overlap_is_shared_area_over_joint_area(other, expected):
    assert box_iou((0, 0, 10, 10), other) == pytest.approx(expected)
    assert box_iou(other, (0, 0, 10, 10)) == pytest.approx(expected)


def test_every_budget_has_the_same_questions(nano):
    tables = by_budget(*nano, dialogues=4)
    assert list(tables) == [side * side for side in BUDGETS]
    counts = [[(row.family, row.questions) for row in rows] for rows in tables.values()]
    assert counts[0] == counts[1] == counts[2]
    assert sum(count for _, count in counts[0]) == 2 * 4 * 7


@pytest.mark.slow
def test_without_h_and_w_nano_is_right_less_often(nano):
    """Only h and w tell where things are, so questions about places must suffer."""
    trained, silenced = without_positions(*nano, dialogues=16)
    right = [
        np.average([r.accuracy for r in rows], weights=[r.questions for r in rows]) for rows in (trained, silenced)
    ]
    assert right[0] > right[1]


def test_the_box_study_asks_as_many_questions_as_requested(nano):
    iou, questions = mean_box_iou(NANO, questions=6)
    assert questions == 6
    assert 0 <= iou <= 1


@pytest.mark.slow
def test_small_print_has_the_same_questions_at_every_budget(nano):
    tables = small_print(*nano, dialogues=2)
    assert list(tables) == [64, 256, 1024]
    counts = [[(row.family, row.questions) for row in rows] for rows in tables.values()]
    assert counts[0] == counts[1] == counts[2]
    assert {family for family, _ in counts[0]} <= {"chart", "read"}


def test_without_icons_the_studies_of_drawings_are_empty(nano):
    assert by_icon_set(*nano, dialogues=1) == {}
    assert by_size(*nano) == {}


def test_every_drawing_is_scored_at_every_size(nano, with_icons):
    tables = by_size(*nano, nouns=1)
    assert list(tables) == [f"side/{n}{held}" for held in ("", " held out") for n in (8, 4, 2, 1)]
    counts = {name: [(row.family, row.questions) for row in rows] for name, rows in tables.items()}
    trained, held_out = [("name", len(icons.SETS) - 1)], [("name", 1)]  # one drawing of a noun in each set
    assert list(counts.values()) == [trained] * 4 + [held_out] * 4
