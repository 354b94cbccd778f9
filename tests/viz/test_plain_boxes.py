"""Boxes in text without Qwen2-VL's tokens: what is one, what is none, and what remains of the words."""

import pytest

from qwen2vl_demo.viz.boxes import Box, parse_boxes, read_boxes, text_without_boxes
from qwen2vl_demo.viz.plain_boxes import without_half_pair


@pytest.mark.parametrize(
    ("text", "boxes", "words"),
    [
        ("the cat(10,20),(300,400)", [Box("the cat", 10, 20, 300, 400)], "the cat"),
        (
            "I see the cat(1,2),(3,4) and a dog(5,6),(7,8).",
            [Box("I see the cat", 1, 2, 3, 4), Box("a dog", 5, 6, 7, 8)],
            "I see the cat and a dog.",
        ),
        ("cat(1,2),(3,4), (5,6),(7,8)", [Box("cat", 1, 2, 3, 4), Box("cat", 5, 6, 7, 8)], "cat"),
        ("(300,400),(10,20)", [Box("", 10, 20, 300, 400)], "box 1"),
        ("(1,2),(3,4), (5,6),(7,8)", [Box("", 1, 2, 3, 4), Box("", 5, 6, 7, 8)], "box 1, box 2"),
    ],
)
def test_pairs_behind_a_name_or_alone_are_boxes(text, boxes, words):
    assert list(parse_boxes(text)) == boxes
    assert text_without_boxes(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "The function is 0 at (1,2),(3,4) and nowhere else.",
        "f(1,2) = 3 and g(3,4) = 5",
        "call(1,2)",
        "between (1,2) and (3,4)",
        "the years (1999),(2001)",
        "a(1,2),(3,x)",
        "",
    ],
)
def test_brackets_of_other_kinds_stay_words(text):
    assert parse_boxes(text) == ()
    assert text_without_boxes(text) == text


def test_objects_of_json_give_boxes_and_points_with_their_labels():
    text = """```json
[
  {"bbox_2d": [10, 20, 300, 400], "label": "the \\"big\\" cat"},
  {"label": "dog", "point_2d": [5, 6]},
  {"bbox_2d": [1, 2, 3], "label": "three numbers"},
  {"bbox_2d": [7, 8, 9, 10]}
]
```"""
    boxes = (Box('the "big" cat', 10, 20, 300, 400), Box("dog", 5, 6, 5, 6), Box("", 7, 8, 9, 10))
    assert parse_boxes(text) == boxes
    assert text_without_boxes(text) == text


def test_actions_of_a_screen_give_points():
    assert parse_boxes("Action: click(start_box='(197,525)')") == (Box("", 197, 525, 197, 525),)
    assert parse_boxes("<point>10 20</point>") == (Box("", 10, 20, 10, 20),)


def test_nothing_of_a_pair_is_seen_while_it_is_written():
    text = "the cat(10,20),(300,400) and"
    for end in range(len("the cat"), len(text)):
        shown = text_without_boxes(text[:end], growing=True)
        assert shown == "the cat" + text[len("the cat(10,20),(300,400)") : end], text[:end]
    assert without_half_pair("see (a) and f(x") == "see (a) and f(x"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("I see the cat(1,2),(3,4) and a dog(5,6),(7,8).", [("I see the cat", (0,)), ("a dog", (1,))]),
        ("cat(1,2),(3,4), (5,6),(7,8)", [("cat", (0, 1))]),
        ("(1,2),(3,4), (5,6),(7,8)", [("box 1", (0,)), ("box 2", (1,))]),
        ('[{"bbox_2d": [1, 2, 3, 4], "label": "cat"}, {"point_2d": [5, 6]}]', [("cat", (0,)), ("5, 6", (1,))]),
        ('{"bbox_2d": [1, 2, 3, 4], "point_2d": [5, 6], "label": "cat"}', [("cat", (0, 1))]),
        ("click(start_box='(197,525)')", [("197,525", (0,))]),
        ("<point>10 20</point>", [("10 20", (0,))]),
    ],
)
def test_the_words_that_name_plain_boxes_are_known(text, names):
    read = read_boxes(text)
    assert [(read.words[name.start : name.end], name.boxes) for name in read.names] == names
