"""Wordings: the held-out split, expansion of alternatives, typos, and English grammar."""

import re

import numpy as np

from qwen2vl_demo.nano.dialogue.phrases import CHAT, PHRASES
from qwen2vl_demo.nano.dialogue.wording import (
    HELD_OUT,
    count_sentence,
    expand_wording,
    normalize,
    with_typo,
    without_function_word,
    wordings_in_split,
)


def test_held_out_wordings_are_disjoint_and_every_question_has_some() -> None:
    lists = {**PHRASES, **{answer: remarks for remarks, answer in CHAT}}

    def written(options: tuple[str, ...], split: str) -> set[str]:
        return {normalize(text) for spelt in wordings_in_split(options, split) for text in spelt}

    train = set().union(*(written(options, "train") for options in lists.values()))
    for key, options in lists.items():
        held = written(options, "held_out")
        assert held, key
        assert not held & train, key
        assert written(options, "train") | held == written(options, "all"), key
    wordings = set().union(*(written(options, "all") for options in lists.values()))
    assert 0.1 < len(HELD_OUT) / len(wordings) < 0.2


def test_a_wording_is_expanded_in_every_way() -> None:
    assert expand_wording("Is {a} there?") == ("Is {a} there?",)
    assert expand_wording("Read (it/this) (aloud/).") == (
        "Read it aloud.",
        "Read it.",
        "Read this aloud.",
        "Read this.",
    )
    for options in (*PHRASES.values(), *(remarks for remarks, _ in CHAT)):
        for text in (text for option in options for text in expand_wording(option)):
            assert not re.search(r"[()/|]|  | [.?!,]", text), text


def test_a_function_word_may_be_missing_but_no_content_word() -> None:
    rng = np.random.default_rng(0)
    texts = {without_function_word(rng, "Where is the cat?") for _ in range(30)}
    assert texts == {"Where the cat?", "Where is cat?"}
    assert without_function_word(rng, "Is A higher than B?") in ("A higher than B?", "Is A higher than B?")
    assert without_function_word(rng, "How much is A") == "How much A"
    assert without_function_word(rng, "Describe the picture.") == "Describe the picture."


def test_a_typo_spares_short_words_and_fields() -> None:
    rng = np.random.default_rng(0)
    texts = {with_typo(rng, "Is {name} here?") for _ in range(30)}
    assert texts == {"Is {name} here?"}  # "here?" ends with a question mark and is left alone
    texts = {with_typo(rng, "Find the {name}.") for _ in range(60)}
    assert texts == {"Fnid the {name}.", "Fidn the {name}.", "Fnd the {name}.", "Fid the {name}."}


def test_numbers_and_articles_are_good_english() -> None:
    assert count_sentence(0, "star") == "There are no stars."
    assert count_sentence(1, "red cross") == "There is 1 red cross."
    assert count_sentence(2, "cross") == "There are 2 crosses."
