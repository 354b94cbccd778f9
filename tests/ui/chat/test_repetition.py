"""A loop of repeated words is noticed while it is written, and what an answer may repeat is not."""

import random

import pytest

from qwen2vl_demo.ui.chat.repetition import MIN_TIMES, OTHER, STEP, WINDOW, WORDS, Repetition, ends_in_repetition


def noticed_at(text: str, piece: int = 7) -> int | None:
    """After how many characters it was noticed; None if it was not."""
    repetition = Repetition()
    for start in range(0, len(text), piece):
        if repetition.push(text[start : start + piece]):
            return min(start + piece, len(text))
    return None


SENTENCE = "The picture shows a man who walks a small brown dog along a quiet street in the rain. "
LOOPS = {
    "words": "and so on ",
    "one word": "circle ",
    "a syllable": "ha",
    "a list": "- a red circle\n",
    "a sentence": SENTENCE,
    "a paragraph": "".join(f"{SENTENCE}And a {colour} bird. " for colour in ("red", "blue", "green")),
    "Chinese": "一只猫坐在窗边。",
    "Hindi, whose vowels are marks": "यह एक बिल्ली है। ",
    "Arabic": "هذه قطة صغيرة ",
}
SIGNS = {
    "digits": "0, ",
    "a row of a table": "| cat | 1 | 2 |\n",
    "empty cells": "<td></td>",
    "a line of code": "    x = x + 1\n",
}


@pytest.mark.parametrize("unit", LOOPS.values(), ids=LOOPS.keys())
@pytest.mark.parametrize("before", ["", "In this picture I see the following things: "])
def test_repeated_words_are_noticed_soon(unit: str, before: str) -> None:
    needed = len(before) + max(WORDS, MIN_TIMES * len(unit))
    at = noticed_at(before + unit * (2 * needed // len(unit)))
    assert at is not None and needed - len(unit) <= at <= needed + STEP + 7


@pytest.mark.parametrize("unit", SIGNS.values(), ids=SIGNS.keys())
def test_repeated_signs_are_noticed_later(unit: str) -> None:
    at = noticed_at(unit * (2 * OTHER // len(unit)))
    assert at is not None and OTHER <= at <= OTHER + STEP + 7


NUMBERS = random.Random(7)
ANSWERS = {
    "prose": " ".join(f"{SENTENCE}{n}" for n in range(80)),
    "a list that counts": "\n".join(f"{n}. yes" for n in range(1, 400)),
    "a form with thirty times the same": "- yes\n" * 30,
    "a table of equal rows": "| item | yes | no |\n" * 40,
    "a table that counts": "\n".join(f"| {n} | {n * n} | no |" for n in range(300)),
    "a table of measured numbers": "\n".join(
        " | ".join(f"{NUMBERS.random():.2f}" for _ in range(5)) for _ in range(150)
    ),
    "28 rows of 28 zeros": ("[" + ", ".join("0" * 28) + "],\n") * 28,
    "an empty table of 15x12 cells in HTML": ("<tr>" + "<td></td>" * 12 + "</tr>\n") * 15,
    "a line of dashes": "-" * 2000,
    "a number of many digits": "1" + "0" * 1000,
    "a third": "0." + "3" * 1500,
    "code with equal lines": "def f(x):\n" + "    x = step(x)\n" * 60 + "    return x\n",
    "a drawing": ("#" + " " * 30 + "#\n") * 40,
    "lines of a chessboard": (" #" * 20 + "\n" + "# " * 20 + "\n") * 20,
    "a chorus": ("la " * 8 + "\n") * 8,
    "a paragraph that is quoted twice": LOOPS["a paragraph"] * 3,
    "a log": "\n".join(f"12:{n // 60:02}:{n % 60:02} nothing happens" for n in range(200)),
    "boxes": "".join(f"<|object_ref_start|>a dot<|object_ref_end|><|box_start|>({n},{n})" for n in range(100)),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_what_an_answer_may_repeat_is_left_alone(answer: str) -> None:
    assert noticed_at(answer) is None


def test_the_period_is_found_as_by_trying_all_of_them() -> None:
    """Against the rule read literally, on texts of few letters, in which there are periods everywhere."""

    def slow(text: str) -> bool:
        for size in range(WORDS, len(text) + 1):
            end = text[len(text) - size :]
            for period in range(1, size // MIN_TIMES + 1):
                if end[period:] == end[:-period]:
                    return True
        return False

    numbers = random.Random(3)
    for case in range(12):
        unit = "".join(numbers.choice("ab") for _ in range(numbers.randrange(1, 200)))
        text = "".join(numbers.choice("ab") for _ in range(50)) + unit * (WORDS // len(unit) + case % 3)
        assert ends_in_repetition(text) == slow(text)


def test_one_long_piece_is_read_to_its_end() -> None:
    assert Repetition().push("and so on " * 5000)
    assert not Repetition().push("and so on " * 5000 + ANSWERS["prose"])


def test_the_work_is_bounded_by_the_answer() -> None:
    """The window, however long the answer is; and one look for each STEP characters, however they come."""
    repetition = Repetition()
    for _ in range(3):
        repetition.push("x1" * WINDOW)
        assert len(repetition._end) == WINDOW
