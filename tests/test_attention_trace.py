"""An answer's tokens become words, and the rows of a word's tokens one mean."""

import itertools

import numpy as np
import pytest

from qwen2vl_demo.attention_trace import Word, mean_over_queries, query_places, split_words


def words(*pieces):
    return [
        (word.text, word.start, word.end)
        for word in split_words([p.encode() if isinstance(p, str) else p for p in pieces])
    ]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # one word of two tokens; the full stop stands by itself
        (["A", " re", "d", " star", "."], [("A", 0, 1), ("red", 1, 3), ("star", 3, 4), (".", 4, 5)]),
        # contractions and hyphens stay inside a word, also where the tokenizer cuts them off
        (["don", "'t", " long", "-tailed"], [("don't", 0, 2), ("long-tailed", 2, 4)]),
        # digits come one by one, as in Qwen's tokenizer
        (["(", "1", "0", "4", ",", "7", ")"], [("(", 0, 1), ("104", 1, 4), (",", 4, 5), ("7", 5, 6), (")", 6, 7)]),
        # a new line ends a word even where letters follow at once
        (["one", "\n", "two"], [("one", 0, 1), ("two", 2, 3)]),
        (["one ", "two"], [("one", 0, 1), ("two", 1, 2)]),
        # scripts without spaces: a word a token
        (["红色", "的", "星"], [("红色", 0, 1), ("的", 1, 2), ("星", 2, 3)]),
        # German letters and combining accents are letters
        (["gr", "ün", "e", "\u0301"], [("grüne\u0301", 0, 4)]),
        # special tokens by themselves
        (["<|box_start|>", "(", "5"], [("<|box_start|>", 0, 1), ("(", 1, 2), ("5", 2, 3)]),
        # a character whose bytes come in three tokens is one word of three tokens
        ([b" \xf0\x9f", b"\x90", b"\xb1", " cat"], [("🐱", 0, 3), ("cat", 3, 4)]),
        # tokens that add nothing to the text belong to no word
        (["", "red", "", "dish"], [("reddish", 1, 4)]),
        ([], []),
        ([" ", "\n\n"], []),
    ],
)
def test_tokens_become_words(pieces, expected):
    assert words(*pieces) == expected


def test_every_token_that_shows_something_is_in_exactly_one_word():
    rng = np.random.default_rng(0)
    alphabet = ["a", " b", "'s", "7", ".", "\n", "é", "星", " ", "", "<|x|>", b"\xe6", b"\x98", b"\x9f"]
    for _ in range(300):
        pieces = [alphabet[i] for i in rng.integers(0, len(alphabet), 12)]
        made = split_words([p.encode() if isinstance(p, str) else p for p in pieces])
        assert all(a.end <= b.start for a, b in itertools.pairwise(made))
        covered = {i for word in made for i in range(word.start, word.end)}
        plain = {i for i, p in enumerate(pieces) if isinstance(p, str) and p.strip()}
        assert plain <= covered


def test_the_query_that_produced_a_token_stands_one_place_before_it():
    """Prompt of 10 tokens at 0 to 9: the first token of the answer, at place 10, came from the query at place 9."""
    assert list(query_places(10, Word("red", 0, 1))) == [9]
    assert list(query_places(10, Word("star", 2, 4))) == [11, 12]


def test_the_mean_of_rows_that_see_more_and_more_still_sums_to_one():
    first = np.array([[[0.25, 0.75]]], np.float32)
    second = np.array([[[0.5, 0.25, 0.25]]], np.float32)
    np.testing.assert_allclose(mean_over_queries([first, second]), [[[0.375, 0.5, 0.125]]])
