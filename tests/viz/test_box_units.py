"""Thousandths or pixels: what decides how the coordinates of an answer are read."""

import pytest

from qwen2vl_demo.viz.box_units import Reading, settle, units_of_model
from qwen2vl_demo.viz.boxes import Box, parse_boxes, read_boxes

JSON = '[{"bbox_2d": [100, 200, 300, 400], "label": "cat"}]'
TAGS = "<|box_start|>(100,200),(300,400)<|box_end|>"
SEEN = (420, 560)  # height, width


def read(text, resized=SEEN, **known):
    return settle([(box, resized) for box in read_boxes(text).boxes], **known)


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("Qwen/Qwen2-VL-2B-Instruct", "thousandths"),
        ("qwen2_vl", "thousandths"),
        ("Qwen/Qwen2.5-VL-7B-Instruct-AWQ", "pixels"),
        ("qwen2.5vl:7b", "pixels"),
        ("Qwen3-VL-8B", "thousandths"),
        ("ByteDance-Seed/UI-TARS-1.5-7B", "pixels"),
        ("UI-TARS-2B-SFT", "thousandths"),
        ("my-model", ""),
        ("", ""),
    ],
)
def test_the_family_is_told_by_the_name(name, units):
    assert units_of_model(name) == units


def test_the_visitors_choice_comes_first():
    assert read(TAGS, choice="pixels", model="thousandths") == Reading("pixels", by="choice")
    assert read(JSON, choice="thousandths", model="pixels") == Reading("thousandths", by="choice")


def test_an_impossible_reading_comes_before_the_family():
    """1,001 is no thousandth; 600 px lie outside a picture of 560 px by more than a token, 580 do not."""
    assert read(JSON.replace("300", "1001"), model="thousandths") == Reading("pixels", by="range")
    assert read(JSON.replace("300", "600"), model="pixels") == Reading("thousandths", by="range")
    assert read(JSON.replace("300", "580"), model="pixels") == Reading("pixels", by="model")


def test_the_family_comes_before_the_dialect():
    assert read(JSON, model="thousandths") == Reading("thousandths", by="model")
    assert read(TAGS, model="pixels") == Reading("pixels", by="model")


def test_qwen2_vls_own_markup_counts_thousandths():
    assert read(TAGS) == read("cat(100,200),(300,400)") == Reading("thousandths", by="dialect")


def test_where_nothing_tells_there_is_doubt():
    assert read(JSON).doubtful and read("click(start_box='(100,200)')").doubtful
    assert read(JSON) == Reading("thousandths", doubtful=True, by="doubt")


def test_there_is_no_doubt_where_the_readings_are_alike():
    """At 1,008x1,008 px, 300 px are 298 thousandths."""
    assert read(JSON, (1008, 1008)) == Reading("thousandths", by="same")


def test_without_a_size_there_are_no_pixels():
    assert read(JSON, None) == read(JSON, None, choice="pixels") == Reading("thousandths")


def test_a_box_is_read_in_the_units_that_were_settled():
    """Of 560x420 px, (100, 200)-(300, 400) are 179 to 536 thousandths across and 476 to 952 down."""
    (pixels,) = parse_boxes(JSON, SEEN, "pixels")
    assert [round(side) for side in (pixels.x1, pixels.y1, pixels.x2, pixels.y2)] == [179, 476, 536, 952]
    assert parse_boxes(JSON, SEEN) == (Box("cat", 100, 200, 300, 400),)
