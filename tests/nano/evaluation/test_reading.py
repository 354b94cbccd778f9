"""The reading evaluation: character error by hand-made cases, its held-out pages, and what the engine is asked."""

from itertools import islice

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import Chunk, GenerationOptions, Result
from qwen2vl_demo.nano.evaluation import reading
from qwen2vl_demo.nano.evaluation.reading import (
    OWN_SIZE,
    PrintQuestion,
    ReadingScore,
    budget,
    edit_distance,
    format_report,
    format_scores,
    measure,
    print_questions,
    quoted,
    score,
    transcribe,
    wrong_characters,
)
from qwen2vl_demo.processing.messages import Image, Message, Text


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("kitten", "sitting", 3),
        ("flaw", "lawn", 2),  # one deleted in front, one inserted behind
        ("abc", "abc", 0),
        ("abc", "xyz", 3),
        ("aaaa", "a", 3),
        ("ab", "ba", 2),
        ("intention", "execution", 5),
        ("$12.50", "$12.S0", 1),
        ("I1l", "l1I", 2),
    ],
)
def test_edit_distance(first, second, expected):
    assert edit_distance(first, second) == edit_distance(second, first) == expected


def test_edit_distance_is_the_one_of_the_plain_definition():
    def plain(first, second):
        rows = [list(range(len(second) + 1))]
        for i, one in enumerate(first, 1):
            rows.append([i])
            for j, other in enumerate(second, 1):
                rows[i].append(min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (one != other)))
        return rows[-1][-1]

    rng = np.random.default_rng(0)
    for _ in range(100):
        first, second = ("".join(rng.choice(list("abc "), rng.integers(0, 12))) for _ in range(2))
        assert edit_distance(first, second) == plain(first, second)


def test_what_an_answer_quotes_is_compared_and_white_space_is_all_alike():
    assert quoted('It says "6 o\'clock".') == "6 o'clock"
    assert quoted('The title is "Say "a".".') == 'Say "a".'
    assert quoted('Alice said "no".x') == 'Alice said "no".x'
    assert quoted("one\ntwo") == "one\ntwo"
    assert wrong_characters("one two\n three", "one\ntwo three") == 0
    assert wrong_characters('It says "hallo".', "hello") == 1
    assert wrong_characters('Ask "her".', 'Ask "her".') == 0  # the print itself quotes


def test_the_error_of_a_group_is_of_all_its_characters():
    found = score("g", [("abcd", "abcd"), ("", "ab"), ("abcx", "abcd")])
    assert found == ReadingScore("g", 3, 10, 3 / 10, pytest.approx(1 / 3))
    assert "30.0%" in format_scores("title", [found])


def test_pages_are_held_out_have_the_lines_asked_for_and_repeat_with_the_seed():
    first, again = (list(islice(print_questions(np.random.default_rng(5), (224, 224), lines=2), 3)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert (one.text, one.printed) == (other.text, other.printed)
        assert np.array_equal(one.pixels, other.pixels)
        assert one.pixels.shape == (224, 224, 3)
        assert one.printed.count("\n") == 1
        assert one.printed.isascii()
    assert len({one.printed for one in first}) == 3


class ReadingEngine:
    """Answers with what is printed, less its first character, and notes what it was asked."""

    def __init__(self):
        self.printed, self.asked = {}, []

    def know(self, questions):
        for question in questions:
            self.printed[question.pixels.tobytes()] = question.printed
            yield question

    def stream(self, messages, options):
        picture, question = messages[0].parts
        self.asked.append((question.text, options))
        text = self.printed[np.asarray(picture.source).tobytes()][1:]
        yield Chunk(text=text)
        yield Chunk(result=Result(text, "end", 1, 1, {}))


def test_each_question_is_asked_with_the_budget_and_room_for_its_answer():
    questions = [PrintQuestion(np.full((28, 28, 3), i, np.uint8), "Read it.", "12345 67") for i in range(2)]
    engine = ReadingEngine()
    assert transcribe(engine, "x", engine.know(questions), budget(64)) == ReadingScore("x", 2, 16, 2 / 16, 0.0)
    assert [text for text, _ in engine.asked] == ["Read it."] * 2
    for _, options in engine.asked:
        assert options.media == budget(64)
        assert options.temperature == 0
        assert options.max_new_tokens > 8


@pytest.mark.parametrize("tokens", [64, 144, 256, 576, 1024])
def test_a_budget_is_reached_by_the_engines_own_resizing(loaded, tokens):
    picture = Image(PIL.Image.new("RGB", (448, 448)))
    trace = loaded.prepare([Message("user", [picture, Text("Hi")])], GenerationOptions(media=budget(tokens)))
    assert trace.media[0].merged_tokens == tokens


def test_a_picture_within_the_limits_keeps_its_size(loaded):
    for height, width in ((28, 112), (448, 448), (896, 896)):
        picture = Image(PIL.Image.new("RGB", (width, height)))
        trace = loaded.prepare([Message("user", [picture, Text("Hi")])], GenerationOptions(media=OWN_SIZE))
        assert trace.media[0].merged_tokens == height * width // 784


@pytest.fixture(scope="module")
def loaded():
    return LocalEngine.load("nano", device="cpu", dtype="float32")


def test_every_table_is_measured_and_the_budgets_have_the_same_pages(loaded, monkeypatch):
    monkeypatch.setattr(reading, "PRINT_SIZES", (14, 20))
    monkeypatch.setattr(reading, "LINES", (1, 2))
    monkeypatch.setattr(reading, "TOKEN_SIDES", (8, 12))
    monkeypatch.setattr(reading, "PAGE_SIZE", (224, 224))
    report = measure(loaded, lines=2, pages=2, dialogues=1)
    assert [row.group for row in report.lines] == ["14 px", "20 px"]
    assert [row.group for row in report.pages] == ["1 lines", "2 lines"]
    assert [row.group for row in report.budgets] == ["64 tokens", "144 tokens"]
    assert len({(row.questions, row.characters) for row in report.budgets}) == 1
    assert list(report.families) == [64, 144]
    text = format_report(report)
    assert all(heading in text for heading in ("14 px", "2 lines", "144 tokens"))
