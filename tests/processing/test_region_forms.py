"""The form in which each family of models gets the regions of a question."""

from __future__ import annotations

import pytest

from qwen2vl_demo.processing.messages import Image, Message, Part, Region, Text, Video
from qwen2vl_demo.processing.region_forms import BoxForm, box_form, pointed_picture, with_regions

REGION = Region(100, 200, 300, 1000)
PIXELS, THOUSANDTHS = BoxForm("pixels"), BoxForm("thousandths")


def picture() -> Image:
    return Image(b"")


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("Qwen/Qwen2-VL-2B-Instruct", BoxForm("thousandths", tokens=True)),
        ("qwen2_5-vl-72b", BoxForm("pixels")),
        ("Qwen3.5-VL-4B", BoxForm("thousandths")),
        ("llava", None),
    ],
)
def test_the_family_is_told_by_the_name(name: str, form: BoxForm | None) -> None:
    assert box_form(name) == form


def test_a_question_points_at_the_picture_that_it_names_or_at_the_nearest() -> None:
    assert pointed_picture("What is it?", before=2, own=2) == 2
    assert pointed_picture("What is it?", before=2, own=0) == 1
    assert pointed_picture("What is it?", before=0, own=0) is None
    assert pointed_picture("What is in it of picture 1?", before=2, own=1) == 0
    assert pointed_picture("What is in it of picture 4?", before=2, own=1) == 2  # there are three


def test_pixels_are_those_of_the_picture_on_which_the_region_lies() -> None:
    """Sizes are (height, width): 280x560 and 840x1400 px. A clip between them counts as no picture."""
    sizes = [(280, 560), None, (840, 1400)]
    messages = [
        Message("user", [picture(), Text("What is in "), REGION, Text("?")]),
        Message("assistant", "A cat."),
        Message("user", [Video(b""), picture(), REGION, Text(" and "), REGION]),
        Message("user", [REGION, Text(" of picture 1")]),
    ]
    texts = [message.text for message in with_regions(messages, sizes, PIXELS)]
    first, second = "[56, 56, 168, 280]", "[140, 168, 420, 840]"
    assert texts == [f"What is in {first}?", "A cat.", f"{second} and {second}", f"{first} of picture 1"]
    (numbers, *_) = with_regions(messages, sizes, THOUSANDTHS)
    assert numbers.text == "What is in [100, 200, 300, 1000]?"


@pytest.mark.parametrize(("parts", "form"), [([REGION], PIXELS), ([Video(b""), REGION], PIXELS), ([REGION], None)])
def test_a_region_without_a_picture_or_a_known_family_stays_one(parts: list[Part], form: BoxForm | None) -> None:
    sizes = [None for part in parts if not isinstance(part, Text)]
    assert with_regions([Message("user", parts)], sizes, form) == [Message("user", parts)]
