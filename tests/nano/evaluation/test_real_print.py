"""Print that nobody drew for nano: what is cropped from PDFs and pages, and that each picture is asked about once."""

import json

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.protocol import Chunk, Result
from qwen2vl_demo.nano.evaluation import real_print
from qwen2vl_demo.nano.evaluation.reading import ReadingScore
from qwen2vl_demo.nano.evaluation.real_print import (
    LEAST_SIDE,
    MARGIN,
    MOST_LINES,
    build,
    figures,
    measure,
    on_ground,
    paragraphs,
    photograph,
)


class PageOfPdf:
    """Lines of text, each (text, left, bottom), in print of 7 points by 5 a character."""

    def __init__(self, *lines):
        self.lines = lines

    def get_text_range(self):
        return "\r\n".join(text for text, *_ in self.lines)

    def get_charbox(self, index):
        for text, left, bottom in self.lines:
            if index < len(text):
                return left + 5 * index, bottom, left + 5 * index + 4, bottom + 7
            index -= len(text) + 2
        raise IndexError


LONG = "a line that is longer than twenty-five characters"


def test_consecutive_lines_of_a_pdf_become_one_paragraph():
    page = PageOfPdf((LONG + "1", 70, 700), (LONG + "2", 70, 688), (LONG + "3", 70, 640))
    (first, both), (second, last) = paragraphs(page)
    assert both == f"{LONG}1\n{LONG}2"
    assert first == (70, 688, 70 + 5 * len(LONG) + 4, 707)
    assert last == f"{LONG}3"
    assert second[1::2] == (640, 647)


def test_lines_that_cannot_be_asked_for_end_a_paragraph_and_are_left_out():
    lines = [
        LONG,
        "short",
        LONG,
        LONG + " \u201cquoted\u201d",
        LONG,
        "1.1 Contents . . . . . . . . . . . . . . 7",
        LONG,
    ]
    found = [text for _, text in paragraphs(PageOfPdf(*((text, 70, 700 - 12 * i) for i, text in enumerate(lines))))]
    assert found == [LONG] * 4


def test_a_paragraph_has_few_lines():
    page = PageOfPdf(*((LONG, 70, 700 - 12 * i) for i in range(MOST_LINES + 1)))
    assert [text.count("\n") + 1 for _, text in paragraphs(page)] == [MOST_LINES, 1]


def test_a_part_lies_on_its_own_ground_which_is_not_too_flat():
    pixels = np.full((40, 300, 3), (10, 20, 30), np.uint8)
    pixels[10:20, 20:270] = 255
    pixels[22:] = 128  # the line below
    part = np.asarray(on_ground(PIL.Image.fromarray(pixels), (20, 10, 270, 20)))
    assert part.shape == ((252 + 2 * MARGIN) // 3, 252 + 2 * MARGIN, 3)
    white, ground = (part == 255).all(-1), (part == (10, 20, 30)).all(-1)
    assert white.sum() == 2500
    assert (white | ground).all()
    small = on_ground(PIL.Image.fromarray(pixels), (20, 10, 30, 20))
    assert small.size == (LEAST_SIDE, LEAST_SIDE)


def test_the_photographed_page_is_taken_apart():
    whole, twice, body, _ = photograph()
    assert whole[1].width == body[1].width == 384
    assert twice[1].size == (768, 2 * whole[1].height)
    assert whole[3].count("\n") == 5
    assert body[3] in whole[3]


def test_figures_are_asked_for_their_title_and_label():
    pytest.importorskip("matplotlib")
    first, second = (next(figures()), list(figures())[1])
    assert first[3] != second[3]
    assert np.array_equal(np.asarray(first[1]), np.asarray(second[1]))
    assert np.asarray(first[1]).min() == 0  # there is ink


class Echo:
    def __init__(self):
        self.asked = []

    def stream(self, messages, options):
        self.asked.append(messages[0].parts[1].text)
        yield Chunk(result=Result("abcd", "end", 1, 1, {}))


def test_pictures_are_built_once_and_each_source_has_a_row(tmp_path, monkeypatch):
    built = []

    def pictures(name, *texts):
        def source():
            for text in texts:
                built.append(text)
                yield name, PIL.Image.new("RGB", (56, 56)), f"{name}?", text

        return source

    monkeypatch.setattr(real_print, "photograph", pictures("one", "abcd", "abcx"))
    monkeypatch.setattr(real_print, "pdf_paragraphs", pictures("two", "ab"))
    for name in ("screenshots", "figures"):
        monkeypatch.setattr(real_print, name, pictures(name))
    engine = Echo()
    expected = [ReadingScore("one", 2, 8, 1 / 8, 0.5), ReadingScore("two", 1, 2, 1.0, 0.0)]
    assert measure(engine, tmp_path / "print") == expected
    assert measure(engine, tmp_path / "print") == expected
    assert built == ["abcd", "abcx", "ab"]
    assert engine.asked == ["one?", "one?", "two?"] * 2
    record = json.loads((tmp_path / "print" / "print.json").read_text())
    assert [entry["printed"] for entry in record] == built
    assert [file.source for file in build(tmp_path / "print")] == ["one", "one", "two"]
