"""Charts, receipts and opening hours: layout, ground truth, and answers agree with the document."""

import re

import numpy as np
import pytest

from qwen2vl_demo.geometry import FACTOR
from qwen2vl_demo.nano.dialogue.document_questions import document_dialogue
from qwen2vl_demo.nano.dialogue.generator import random_dialogue
from qwen2vl_demo.nano.world.documents import draw_document, random_document
from qwen2vl_demo.nano.world.scene import CELL_LABELS, HEADINGS

SIZES = [(84, 84), (84, 280), (280, 84), (168, 196), (224, 224), (420, 448)]


def documents(count=30):
    rng = np.random.default_rng(0)
    return [random_document(rng, size) for size in SIZES for _ in range(count)]


def test_everything_lies_inside_the_picture():
    for document in documents():
        signs = [s for bar in document.bars for s in bar.signs] + [s for pair in document.line_signs for s in pair]
        for x1, y1, x2, y2 in [s.box for s in signs] + [bar.box for bar in document.bars]:
            assert 0 <= x1 < x2 <= document.width and 0 <= y1 < y2 <= document.height


def test_the_bars_are_as_high_as_their_values():
    for document in documents():
        if document.kind == "bars":
            tall = [bar.box[3] - bar.box[1] for bar in document.bars]
            highest = max(bar.value for bar in document.bars)
            for bar, height in zip(document.bars, tall, strict=True):
                assert height == pytest.approx(max(4.0, max(tall) * bar.value / highest), abs=0.01)


def test_a_receipts_total_is_the_sum_of_its_prices():
    for document in documents():
        if document.kind == "receipt":
            amounts = [int(amount.strip("$")) for _, amount in document.lines]
            assert document.lines[-1][0] == "TOTAL"
            assert amounts[-1] == sum(amounts[:-1])


def test_a_bar_is_drawn_in_its_colour_and_labelled():
    rng = np.random.default_rng(1)
    for document in documents(6):
        if document.kind == "bars" and not document.jpeg:
            pixels, cells = draw_document(document, rng)
            shown = {CELL_LABELS[i] for i in cells.labels.ravel()}
            for bar in document.bars:
                x1, y1, x2, y2 = bar.box
                assert tuple(pixels[int((y1 + y2) / 2), int((x1 + x2) / 2)]) == bar.rgb
            assert any(f"{bar.colour} bar" in shown for bar in document.bars)


def test_an_amount_belongs_to_the_word_of_its_line_and_a_bar_to_its_letter():
    """Of two amounts that share a cell, the cell has one."""
    rng = np.random.default_rng(3)
    right = total = 0
    for document in documents(6):
        _, cells = draw_document(document, rng)
        amounts = [(word.text, amount.box) for word, amount in document.line_signs]
        bars = [(bar.letter, bar.signs[0].box) for bar in document.bars]
        for heading, (x1, y1, x2, y2) in amounts + bars:
            row, column = int((y1 + y2) / 2) // FACTOR, int((x1 + x2) / 2) // FACTOR
            assert cells.headings[row, column] > 0
            right += HEADINGS[cells.headings[row, column] - 1] == heading
            total += 1
        assert {HEADINGS[i - 1] for i in cells.headings.ravel() if i} <= {heading for heading, _ in amounts + bars}
    assert right > 0.9 * total > 100


def test_attention_targets_are_the_amount_in_question_and_the_higher_of_two_bars():
    """Neither the word beside the amount, which the question contains already, nor the lower bar."""
    rng = np.random.default_rng(6)
    seen = set()
    for _ in range(120):
        drawn = random_dialogue(rng, "document", size=(224, 224))
        headings = drawn.cells[0][0].headings.ravel()
        for turn in drawn.turns:
            named = turn.answer.split(" ")[0]
            if (" costs " in turn.answer or " is higher" in turn.answer) and turn.attention_targets:
                whole = headings[list(turn.attention_targets[0].cells)]
                seen.add(turn.answer.split(" ")[1])
                assert 1 + HEADINGS.index(named) in whole
                if " costs " in turn.answer:
                    assert (whole > 0).mean() >= 0.5
    assert seen == {"costs", "is"}


def test_answers_agree_with_the_document():
    rng = np.random.default_rng(2)
    seen = set()
    for _ in range(80):
        state = rng.bit_generator.state
        made = document_dialogue(rng, (196, 224), None, 6, "all")
        again = np.random.default_rng(0)
        again.bit_generator.state = state
        document = random_document(again, (196, 224))
        values = {bar.letter: bar.value for bar in document.bars}
        for turn in made.turns:
            if found := re.fullmatch(r"The value of (.) is (\d+)\.", turn.answer):
                assert values[found[1]] == int(found[2])
            elif found := re.fullmatch(r"(.) is the (highest|lowest)\.", turn.answer):
                assert values[found[1]] == (max if found[2] == "highest" else min)(values.values())
            elif found := re.fullmatch(r"(.) is higher\.", turn.answer):
                letters = re.findall(r"\b([a-hA-H])\b", turn.question)
                assert found[1] == max(letters[0].upper(), letters[-1].upper(), key=lambda letter: values[letter])
            elif found := re.fullmatch(r"The total is (.+)\.", turn.answer):
                assert ("TOTAL", found[1]) in document.lines
            elif found := re.fullmatch(r"It (opens|closes) at (.+)\.", turn.answer):
                assert ({"opens": "OPEN", "closes": "CLOSED"}[found[1]], found[2]) in document.lines
            else:
                continue
            seen.add(found.re.pattern)
    assert len(seen) == 5
