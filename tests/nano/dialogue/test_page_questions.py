"""Dialogues about pages of text: their answers agree with the page, and their targets with where it is printed."""

import re

import numpy as np
import pytest

from qwen2vl_demo.nano.dialogue.dialogue import DialogueTurn
from qwen2vl_demo.nano.dialogue.generator import random_dialogue
from qwen2vl_demo.nano.dialogue.page_questions import dialogue_about
from qwen2vl_demo.nano.dialogue.print_phrases import PAGE_PHRASES
from qwen2vl_demo.nano.dialogue.wording import expand_wording, wordings_in_split
from qwen2vl_demo.nano.world.pages import TextPage, random_page
from qwen2vl_demo.nano.world.scene import CELL_CHARACTERS, CHARACTERS, Background
from qwen2vl_demo.nano.world.typesetting import label_page


def dialogues(seed: int, count: int, **fixed: int) -> list[tuple[TextPage, tuple[DialogueTurn, ...]]]:
    rng = np.random.default_rng(seed)
    sizes = ((140, 224), (56, 112), (224, 224), (28, 112), (84, 336))
    pages = [random_page(rng, sizes[index % len(sizes)], **fixed) for index in range(count)]
    return [(page, dialogue_about(rng, page, 7, "train").turns) for page in pages]


def test_answers_agree_with_the_page() -> None:
    forms = set()
    for page, turns in dialogues(0, 80):
        lines = [line.text for line in page.lines]
        lower = page.text.lower()
        for turn in turns:
            answer = turn.answer
            if match := re.fullmatch(r'It says "(.*)"\.', answer):
                assert match[1] in lines
            elif match := re.fullmatch(r'It is "(.*)"\.', answer):
                assert match[1] in page.text and turn.family == "find"
            elif match := re.fullmatch(r'Yes, it says "(.*)"\.', answer):
                assert match[1] in page.text
            elif match := re.fullmatch(r'No, it does not say "(.*)"\.', answer):
                assert match[1].lower() not in lower
                assert match[1] in turn.question
            elif match := re.fullmatch(r"There (?:is|are) (\d+) lines?\.", answer):
                assert int(match[1]) == len(lines)
            elif match := re.fullmatch(r"There (?:is|are) (\d+) words?\.", answer):
                assert int(match[1]) in [len(line.split(" ")) for line in lines]
            elif answer in ("There is no text.", "No, there is no text."):
                assert not lines
            elif answer == "Yes, there is.":
                assert lines
            else:
                assert turn.family == "transcribe" and (answer == page.text or (answer in lines and '"' in answer))
                continue
            forms.add(re.sub(r'"(.*)"|\d+', "", answer))
    assert len(forms) >= 8


def test_the_named_line_is_read() -> None:
    nth = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "last": -1, "bottom": -1}
    checked = 0
    for page, turns in dialogues(1, 60):
        for turn in turns:
            match = re.search(r"\b(first|1st|second|2nd|third|3rd|fourth|last|bottom) line\b", turn.question.lower())
            if match and page.columns == 1 and turn.family == "transcribe" and '"' not in turn.question:
                line = page.lines[nth[match[1]]].text
                assert turn.answer in (line, f'It says "{line}".')
                checked += 1
    assert checked > 20


def test_targets_lead_to_the_cells_that_show_the_quoted_characters() -> None:
    checked = 0
    for page, turns in dialogues(2, 40, print_size=18):
        characters = label_page(page).characters.reshape(-1, CELL_CHARACTERS)
        for turn in turns:
            if not turn.answer.startswith(("It ", "Yes, it")) and turn.family == "find":
                continue
            quoted = re.search(r'"(.*)"', turn.answer)
            start = quoted.start(1) if quoted and turn.answer.startswith(("It ", "Yes, it")) else 0
            for target in turn.attention_targets:
                (cell,) = target.cells
                for character in turn.answer[max(start, target.start) : target.end].replace("\n", ""):
                    full = characters[cell].all()  # two lines of narrow print may hold more than are asked for
                    assert full or 1 + CHARACTERS.index(character) in characters[cell], (turn, target)
                    checked += 1
    assert checked > 500


def test_half_of_the_turns_copy_print_and_a_page_is_copied_once() -> None:
    made = dialogues(3, 60)
    turns = [turn for page, turns in made for turn in turns if len(page.lines) > 1]
    assert 0.35 < np.mean([turn.family == "transcribe" for turn in turns]) < 0.65
    for page, turns in made:
        if len(page.lines) > 1:
            assert sum(turn.answer == page.text for turn in turns) <= 1
    said = [turn.answer[:3] for _, turns in made for turn in turns if " say" in turn.answer and turn.family == "find"]
    assert 0.3 < np.mean([start == "Yes" for start in said]) < 0.7


def test_what_nobody_could_read_is_not_asked() -> None:
    page = random_page(np.random.default_rng(4), (84, 168), print_size=6)
    turns = dialogue_about(np.random.default_rng(4), page, 5, "train").turns
    assert {turn.answer for turn in turns} == {"Yes, there is."}
    empty = TextPage(56, 56, Background((255, 255, 255), (255, 255, 255)), ())
    answers = {turn.answer for turn in dialogue_about(np.random.default_rng(5), empty, 20, "held_out").turns}
    assert all(answer.startswith(("There is no text.", "No, ")) for answer in answers)


@pytest.mark.parametrize("size", [(56, 56), (28, 112), (112, 28), (448, 448)])
def test_a_dialogue_has_as_many_turns_as_asked_and_one_picture(size: tuple[int, int]) -> None:
    for turns in (1, 4, 8):
        made = random_dialogue(np.random.default_rng(turns), "page", size=size, turns=turns)
        assert len(made.turns) == turns and made.media[0].shape == (*size, 3)
        assert [turn.media for turn in made.turns] == [(0,), *[()] * (turns - 1)]
    with pytest.raises(ValueError):
        random_dialogue(np.random.default_rng(0), "page", size=(30, 56))


def test_wordings_are_many_and_some_are_held_out() -> None:
    for key, wordings in PAGE_PHRASES.items():
        assert len(wordings) >= 12, key
        held, train = (
            {text for texts in wordings_in_split(wordings, split) for text in texts} for split in ("held_out", "train")
        )
        assert held and not held & train, key
        for text in (text for wording in wordings for text in expand_wording(wording)):
            assert not re.search(r"[()/|]|  | [.?!,]", text), text
