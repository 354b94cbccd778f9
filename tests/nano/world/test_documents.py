"""Charts, receipts and opening hours: what is printed is what is answered."""

import re

import numpy as np
import pytest

from qwen2vl_demo.nano.dialogue.document_questions import paper_conversation
from qwen2vl_demo.nano.dialogue.generator import sample
from qwen2vl_demo.nano.world.documents import draw_paper, random_paper
from qwen2vl_demo.nano.world.scene import CELL, CELL_LABELS, HEADINGS

SIZES = [(84, 84), (84, 280), (280, 84), (168, 196), (224, 224), (420, 448)]


def papers(count=30):
    rng = np.random.default_rng(0)
    return [random_paper(rng, size) for size in SIZES for _ in range(count)]


def test_everything_lies_inside_the_picture():
    for paper in papers():
        signs = [s for bar in paper.bars for s in bar.signs] + [s for pair in paper.line_signs for s in pair]
        for x1, y1, x2, y2 in [s.box for s in signs] + [bar.box for bar in paper.bars]:
            assert 0 <= x1 < x2 <= paper.width and 0 <= y1 < y2 <= paper.height


def test_the_bars_are_as_high_as_their_values():
    for paper in papers():
        if paper.kind == "bars":
            tall = [bar.box[3] - bar.box[1] for bar in paper.bars]
            highest = max(bar.value for bar in paper.bars)
            for bar, height in zip(paper.bars, tall, strict=True):
                assert height == pytest.approx(max(4.0, max(tall) * bar.value / highest), abs=0.01)


def test_a_receipts_total_is_the_sum_of_its_prices():
    for paper in papers():
        if paper.kind == "receipt":
            amounts = [int(amount.strip("$")) for _, amount in paper.lines]
            assert paper.lines[-1][0] == "TOTAL"
            assert amounts[-1] == sum(amounts[:-1])


def test_a_bar_is_drawn_in_its_colour_and_labelled():
    rng = np.random.default_rng(1)
    for paper in papers(6):
        if paper.kind == "bars" and not paper.jpeg:
            pixels, cells = draw_paper(paper, rng)
            shown = {CELL_LABELS[i] for i in cells.labels.ravel()}
            for bar in paper.bars:
                x1, y1, x2, y2 = bar.box
                assert tuple(pixels[int((y1 + y2) / 2), int((x1 + x2) / 2)]) == bar.rgb
            assert any(f"{bar.colour} bar" in shown for bar in paper.bars)


def test_an_amount_belongs_to_the_word_of_its_line_and_a_bar_to_its_letter():
    """Numbers that share a cell leave one of them."""
    rng = np.random.default_rng(3)
    right = total = 0
    for paper in papers(6):
        _, cells = draw_paper(paper, rng)
        amounts = [(word.text, amount.box) for word, amount in paper.line_signs]
        bars = [(bar.letter, bar.signs[0].box) for bar in paper.bars]
        for heading, (x1, y1, x2, y2) in amounts + bars:
            row, column = int((y1 + y2) / 2) // CELL, int((x1 + x2) / 2) // CELL
            assert cells.headings[row, column] > 0
            right += HEADINGS[cells.headings[row, column] - 1] == heading
            total += 1
        assert {HEADINGS[i - 1] for i in cells.headings.ravel() if i} <= {heading for heading, _ in amounts + bars}
    assert right > 0.9 * total > 100


def test_the_head_is_shown_the_amount_asked_for_and_the_higher_of_two_bars():
    """Neither the word beside the amount, which the question says already, nor the lower bar."""
    rng = np.random.default_rng(6)
    seen = set()
    for _ in range(120):
        drawn = sample(rng, "paper", size=(224, 224))
        headings = drawn.cells[0][0].headings.ravel()
        for turn in drawn.turns:
            named = turn.answer.split(" ")[0]
            if (" costs " in turn.answer or " is higher" in turn.answer) and turn.focus:
                whole = headings[list(turn.focus[0].cells)]
                seen.add(turn.answer.split(" ")[1])
                assert 1 + HEADINGS.index(named) in whole
                if " costs " in turn.answer:
                    assert (whole > 0).mean() >= 0.5
    assert seen == {"costs", "is"}


def test_answers_agree_with_the_paper():
    rng = np.random.default_rng(2)
    seen = set()
    for _ in range(80):
        state = rng.bit_generator.state
        made = paper_conversation(rng, (196, 224), None, 6, "all")
        again = np.random.default_rng(0)
        again.bit_generator.state = state
        paper = random_paper(again, (196, 224))
        values = {bar.letter: bar.value for bar in paper.bars}
        for turn in made.turns:
            if found := re.fullmatch(r"The value of (.) is (\d+)\.", turn.answer):
                assert values[found[1]] == int(found[2])
            elif found := re.fullmatch(r"(.) is the (highest|lowest)\.", turn.answer):
                assert values[found[1]] == (max if found[2] == "highest" else min)(values.values())
            elif found := re.fullmatch(r"(.) is higher\.", turn.answer):
                letters = re.findall(r"\b([a-hA-H])\b", turn.question)
                assert found[1] == max(letters[0].upper(), letters[-1].upper(), key=lambda letter: values[letter])
            elif found := re.fullmatch(r"The total is (.+)\.", turn.answer):
                assert ("TOTAL", found[1]) in paper.lines
            elif found := re.fullmatch(r"It (opens|closes) at (.+)\.", turn.answer):
                assert ({"opens": "OPEN", "closes": "CLOSED"}[found[1]], found[2]) in paper.lines
            else:
                continue
            seen.add(found.re.pattern)
    assert len(seen) == 5
