"""Boxes written in an answer are read by rule, and so is which of its words name them."""

import pytest

from qwen2vl_demo.viz.boxes import Box, parse_boxes, read_boxes, text_without_boxes

CAT = "<|object_ref_start|>the cat<|object_ref_end|><|box_start|>(100,200),(500,800)<|box_end|>"


def test_a_named_box_is_found():
    assert parse_boxes(f"I see {CAT}.") == (Box("the cat", 100, 200, 500, 800),)


def test_one_name_may_have_several_boxes():
    text = CAT + "<|box_start|>(0,0),(10,10)<|box_end|>, <|box_start|>(5,5),(20,20)<|box_end|>"
    assert [b.label for b in parse_boxes(text)] == ["the cat"] * 3


def test_words_in_between_end_a_name():
    text = CAT + " and something else at <|box_start|>(0,0),(10,10)<|box_end|>"
    assert [b.label for b in parse_boxes(text)] == ["the cat", ""]


def test_corners_in_the_wrong_order_and_beyond_the_picture_are_put_right():
    assert parse_boxes("<|box_start|>(900,1200),(100,50)<|box_end|>") == (Box("", 100, 50, 900, 1000),)


def test_a_quad_becomes_the_rectangle_around_it():
    assert parse_boxes("<|quad_start|>(10,20),(110,30),(100,90),(5,80)<|quad_end|>") == (Box("", 5, 20, 110, 90),)


@pytest.mark.parametrize(
    "text",
    [
        "<|box_start|>__import__('os').system('true')<|box_end|>",
        "<|box_start|>(1,2),(3,4)",
        "<|box_start|>(-1,2),(3,99999)<|box_end|>",
        "",
    ],
)
def test_what_is_not_exactly_a_box_is_none(text):
    assert parse_boxes(text) == ()


def test_a_single_corner_is_a_point():
    assert parse_boxes("<|box_start|>(197,525)<|box_end|>") == (Box("", 197, 525, 197, 525),)
    assert text_without_boxes("click <|box_start|>(197,525)<|box_end|>") == "click point 1"


def test_coordinates_beyond_a_thousand_are_pixels_of_the_resized_picture():
    """Of 1,120x1,400 px (height, width): x = 700 is the middle, y = 1,120 the lower edge."""
    text = '[{"bbox_2d": [0, 560, 700, 1120], "label": "cat"}]'
    assert parse_boxes(text, (1120, 1400)) == (Box("cat", 0, 500, 500, 1000),)
    assert parse_boxes(text) == (Box("cat", 0, 560, 700, 1000),)
    assert parse_boxes(text.replace("1120", "900"), (1120, 1400)) == (Box("cat", 0, 560, 700, 900),)


def test_a_model_that_repeats_itself_does_not_fill_the_page():
    assert len(parse_boxes("<|box_start|>(1,2),(3,4)<|box_end|>" * 5000)) == 100


def test_thousandths_become_pixels_of_width_and_height():
    """x counts the width: 500/1000 of 640 is 320; y the height: 250/1000 of 480 is 120."""
    assert Box("", 0, 250, 500, 1000).pixels((480, 640)) == (0, 120, 320, 480)


def test_text_without_boxes_keeps_names_and_drops_coordinates():
    assert text_without_boxes(f"I see {CAT} and {CAT.replace('the cat', 'a dog')}.") == "I see the cat and a dog."


def test_text_without_boxes_numbers_boxes_without_a_name():
    box = "<|box_start|>(1,2),(3,4)<|box_end|>"
    assert text_without_boxes(f"{box} and then {box}") == "box 1 and then box 2"


def test_text_without_boxes_leaves_plain_answers_alone():
    text = "a < b, and <div> , (1,2) <|im_start|> stays ."
    assert text_without_boxes(text) == text


def test_text_without_boxes_never_shows_half_a_box():
    """While it streams, each prefix shows a prefix of the name and no markup; a lone "<" may yet be a less-than."""
    for cut in range(1, len(CAT)):
        assert "the cat".startswith(text_without_boxes(CAT[:cut]).removesuffix("<")), CAT[:cut]


def named(text: str) -> list[tuple[str, tuple[int, ...]]]:
    read = read_boxes(text)
    return [(read.words[name.start : name.end], name.boxes) for name in read.names]


def test_the_words_that_name_boxes_are_known():
    box = "<|box_start|>(1,2),(3,4)<|box_end|>"
    name = "<|object_ref_start|>{}<|object_ref_end|>"
    assert named(f"I see {CAT} and {CAT.replace('the cat', 'a dog')}.") == [("the cat", (0,)), ("a dog", (1,))]
    assert named(f"{CAT}{box}, {box}") == [("the cat", (0, 1, 2))]
    assert named(f"It is at {box} or <|box_start|>(1,2),(3,4), (5,6),(7,8)<|box_end|>.") == [
        ("box 1", (0,)),
        ("boxes 2 to 3", (1, 2)),
    ]
    assert named(f"{name.format('cat ')} stands at {box}.") == [("cat", (0,)), ("box 1", (0,))]
    assert named(f"{name.format('cat')}, {name.format('dog')}{box}") == [("dog", (0,))]
    assert named("No box, and \ufdd2no\ufdd3 name.") == []


def test_the_words_stay_what_they_were_with_names_in_them():
    """Commas and spaces that boxes leave behind go, also where a name ends right before them."""
    box = "<|box_start|>(1,2),(3,4)<|box_end|>"
    cat, dog = (f"<|object_ref_start|>{name}<|object_ref_end|>" for name in ("cat ", "dog"))
    text = f"A {cat}{box}, {box}, and a {dog} {box} ."
    assert text_without_boxes(text) == "A cat, and a dog."
    assert named(text) == [("cat", (0, 1)), ("dog", (2,))]
