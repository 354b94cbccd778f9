"""Dialogues about several pictures."""

import re

import numpy as np

from qwen2vl_demo.nano.dialogue.generator import random_dialogue


def test_the_pictures_that_have_something_are_listed_in_order() -> None:
    rng = np.random.default_rng(5)
    answers = set()
    for _ in range(400):
        for turn in random_dialogue(rng, "pictures").turns:
            if " picture has " in turn.answer:
                answers.add(re.sub(r" has an? [^.]*?(?= and so|\.)", " has it", turn.answer))
    assert {"The first picture has it.", "The first picture has it and so does the second."} <= answers
    assert "The first picture has it and so do the second and the third." in answers
    assert "No picture has it." in answers


def test_a_new_picture_may_come_in_a_later_turn() -> None:
    rng = np.random.default_rng(0)
    made = [random_dialogue(rng, "pictures") for _ in range(40)]
    assert any(turn.media for one in made for turn in one.turns[1:])
    assert {len(one.media) for one in made} == {2, 3}
