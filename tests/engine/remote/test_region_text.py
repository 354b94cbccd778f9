"""The form in which each family of models gets the regions of a question."""

from __future__ import annotations

import pytest

from qwen2vl_demo.box_forms import BoxForm
from qwen2vl_demo.engine.remote.region_text import with_regions
from qwen2vl_demo.processing.messages import Image, Message, Part, Region, Text, Video

REGION = Region(100, 200, 300, 1000)
PIXELS, THOUSANDTHS = BoxForm("pixels"), BoxForm("thousandths")


def picture() -> Image:
    return Image(b"")


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
