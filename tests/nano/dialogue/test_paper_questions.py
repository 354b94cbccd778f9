"""Questions about papers: their answers agree with what the paper says and where it says it."""

import re

import numpy as np
import pytest

from qwen2vl_demo.nano.dialogue.dialogue import DialogueTurn
from qwen2vl_demo.nano.dialogue.generator import random_dialogue
from qwen2vl_demo.nano.dialogue.paper_questions import PaperQuestions, key_value_lines, paper_dialogue
from qwen2vl_demo.nano.world.papers import KINDS, random_paper
from qwen2vl_demo.nano.world.scene import CHARACTERS
from qwen2vl_demo.nano.world.sheets import Paper
from qwen2vl_demo.nano.world.typesetting import label_page


def asked(size: tuple[int, int] = (336, 336), count: int = 8, turns: int = 12) -> list[tuple[Paper, DialogueTurn]]:
    """Questions about papers of every kind."""
    rng = np.random.default_rng(3)
    made = []
    for kind in KINDS:
        for _ in range(count):
            paper = random_paper(rng, size, kind=kind)
            made += [(paper, turn) for turn in PaperQuestions(rng, paper, "all").turns(turns)]
    return made


def test_the_number_of_turns_is_exact_and_the_first_brings_the_picture() -> None:
    for seed in range(24):
        size = [(112, 112), (112, 280), (448, 336)][seed % 3]
        made = random_dialogue(np.random.default_rng(seed), "paper", size=size, turns=1 + seed % 12)
        assert len(made.turns) == 1 + seed % 12
        assert [turn.media for turn in made.turns] == [(0,)] + [()] * (seed % 12)
        assert made.media[0].shape == (*size, 3) and {turn.family for turn in made.turns} == {"paper"}


def test_the_same_seed_gives_the_same_dialogue() -> None:
    one, two = (paper_dialogue(np.random.default_rng(8), (196, 196), None, 8, "train") for _ in range(2))
    assert one.turns == two.turns and np.array_equal(one.media[0], two.media[0])


def test_answers_agree_with_the_paper() -> None:
    seen = set()
    for paper, turn in asked():
        parts, answer = paper.parts, turn.answer
        prices = {item.name.text: item for item in parts.items}
        bars = {bar.label.text: bar for bar in parts.bars}
        if found := re.fullmatch(r"(.+) costs (.+)\.", answer):
            assert prices[found[1]].price.text == found[2]
        elif found := re.fullmatch(r"(.+) is the (most expensive|cheapest)\.", answer):
            best = (max if found[2] == "most expensive" else min)(item.cents for item in parts.items)
            assert [name for name, item in prices.items() if item.cents == best] == [found[1]]
        elif found := re.fullmatch(r"(?:It is a bar chart with \d bars\. )?(.+) is the (highest|lowest)\.", answer):
            best = (max if found[2] == "highest" else min)(bar.value for bar in parts.bars)
            assert bars[found[1]].value == best
        elif found := re.fullmatch(r"The value of (.+) is (.+)\.", answer):
            assert bars[found[1]].printed.text == found[2]
        elif found := re.fullmatch(r"There (?:is|are) (\d+) (item|row|column|field|button|bar)s?\.", answer):
            counted = {"item": parts.items, "row": parts.rows, "column": parts.header, "field": parts.pairs}
            counted |= {"button": parts.buttons, "bar": parts.bars}
            assert len(counted[found[2]]) == int(found[1])
        elif found := re.fullmatch(r"There is no (.+)\.", answer):
            assert found[1] not in {pair.said for pair in parts.pairs} | {name.lower() for name in prices}
            assert found[1] != "title" or parts.title is None
        elif found := re.fullmatch(r"It (opens|closes) at (.+) on (\w+)\.", answer):
            times = next(times for times in parts.hours if found[3] in times.days)
            assert (times.opens if found[1] == "opens" else times.closes).text == found[2]
        elif found := re.fullmatch(r"It is closed on (\w+)\.", answer):
            assert next(times for times in parts.hours if found[1] in times.days).opens is None
        elif found := re.fullmatch(r'It says "(.+)"\.', answer):
            assert found[1] in {run.text for run in (parts.title, parts.message) if run}
        elif found := re.fullmatch(r"It is the ([a-z -]+)\.", answer):
            assert found[1] in {pair.said for pair in parts.pairs}
        elif found := re.fullmatch(r"The ([a-z -]+) is (.+)\.", answer):
            if found[1] != "button":
                assert (found[1], found[2]) in {(pair.said, pair.value.text) for pair in parts.pairs}
        else:
            continue
        seen.add(found.re.pattern)
    assert len(seen) == 11


def test_cells_are_found_by_row_and_column() -> None:
    rng, found = np.random.default_rng(4), 0
    for _ in range(40):
        paper = random_paper(rng, (336, 336), kind="table")
        for turn in PaperQuestions(rng, paper, "all").turns(12):
            place = re.search(r"row (\d),? (?:and )?(?:in )?column (\d)", turn.question.lower())
            if place and (said := re.fullmatch(r"It is (.+)\.", turn.answer)):
                assert paper.parts.rows[int(place[1]) - 1][int(place[2]) - 1].text == said[1]
                found += 1
    assert found > 10


def test_copies_and_readings_are_what_is_printed() -> None:
    copied = read = 0
    for paper, turn in asked((280, 280), 6):
        lines = [" ".join(run.text for run in line) for line in paper.lines]
        if turn.answer == "\n".join(lines):
            read += 1
        elif ": " in turn.answer and len(turn.answer.splitlines()) == len(key_value_lines(paper)):
            for line, (key, *_) in zip(turn.answer.splitlines(), key_value_lines(paper), strict=True):
                assert line.startswith(key.text.rstrip(":") + ": ")
            copied += 1
    assert copied > 20 and read > 20


@pytest.mark.parametrize("size", [(112, 112), (448, 448)])
def test_each_character_of_a_quoted_value_is_in_the_cell_that_its_target_names(size: tuple[int, int]) -> None:
    covered = 0
    for paper, turn in asked(size, 5, 5):
        if min(run.size for run in paper.page.runs) / paper.page.zoom < 16:
            continue  # of small print, a cell has more characters than are asked for
        characters = label_page(paper.page).characters.reshape(-1, 8)
        if turn.answer.startswith("It is the "):
            continue  # said in other words than printed
        for target in turn.attention_targets:
            (cell,) = target.cells
            shown = {CHARACTERS[index - 1] for index in characters[cell] if index}
            assert shown & set(turn.answer[target.start : target.end]), (turn, target, shown)
            assert turn.answer[target.end - 1] in shown or (characters[cell] > 0).all()
            covered += 1
    assert covered > 5
