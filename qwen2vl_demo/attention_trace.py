"""The attention from which a word of an answer was generated, as plain data; and how answers are split into words.

A token is sampled from what the model computes at the position *before* it: the query that produced the token at index
n of the sequence is that of index n - 1, and attends to the indices 0 to n - 1. Those are the weights recorded here,
never those of the word's own queries, which produce what follows. Made by `Engine.word_attention`.
"""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qwen2vl_demo.trace import PromptTrace

_JOINING = "'’-"  # inside a word where a letter follows: don't, long-tailed


@dataclass(frozen=True)
class Word:
    """A word of an answer, a punctuation mark, or a character of a script without spaces."""

    text: str  # without the spaces around it
    start: int  # [start, end) of its tokens in the answer
    end: int


@dataclass(frozen=True, eq=False)
class AttentionTrace:
    """The attention behind one word. Each head of each layer sums to one over the S places."""

    prompt: PromptTrace  # the prompt of the answer
    answer_ids: np.ndarray  # (A,) int64, the answer's tokens
    answer_tokens: tuple[str, ...]  # readable, one for each token
    word: Word
    weights: np.ndarray  # (layers, heads, S) float32: the mean over the word's tokens; S = queries[-1] + 1
    seconds: float = 0.0  # of computing it, without waiting
    computed_tokens: int = 0  # tokens that had to be run, those of the queries included
    exact_tokens: bool = True  # False: the answer was tokenized again from its text, perhaps differently

    @property
    def queries(self) -> range:
        """The indices in the sequence whose queries produced the word's tokens, one for each."""
        return query_places(len(self.prompt), self.word)

    @property
    def layers(self) -> int:
        return self.weights.shape[0]

    @property
    def heads(self) -> int:
        return self.weights.shape[1]

    def tokens(self) -> tuple[str, ...]:
        """The readable token of each of the S indices: the prompt, then the answer."""
        return (*self.prompt.tokens, *self.answer_tokens)[: self.weights.shape[2]]


def query_places(prompt_length: int, word: Word) -> range:
    """The indices of the queries that produced a word: one before each of its tokens."""
    return range(prompt_length - 1 + word.start, prompt_length - 1 + word.end)


def mean_over_queries(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The mean (layers, heads, longest s) of rows (layers, heads, s) of growing length s.

    What a row cannot attend to counts as zero, so that the sums over s stay one.
    """
    layers, heads, longest = rows[-1].shape
    total = np.zeros((layers, heads, longest), dtype=np.float32)
    for row in rows:
        total[..., : row.shape[2]] += row
    return total / len(rows)


def split_words(pieces: Sequence[bytes]) -> tuple[Word, ...]:
    """The words of an answer, from the bytes that each of its tokens adds to the text.

    Words consist of whole tokens. A token continues the word before it where letters or digits meet, or where a
    character is unfinished; everything else starts a new one. Tokens of spaces, and hidden tokens (no bytes), belong
    to no word.
    """
    words: list[tuple[list[str], int, int]] = []  # the texts of its tokens, and where they are
    touching = False  # whether the last word may continue
    for text, start, end in _whole_characters(pieces):
        shown = text.strip()
        if not shown:
            touching = False
            continue
        if touching and words and not text[0].isspace() and _continues(words[-1][0][-1], shown):
            parts, first, _ = words[-1]
            parts.append(shown)
            words[-1] = parts, first, end
        else:
            words.append(([shown], start, end))
        touching = not text[-1].isspace()
    return tuple(Word("".join(parts), start, end) for parts, start, end in words)


def _whole_characters(pieces: Sequence[bytes]) -> Iterator[tuple[str, int, int]]:
    """The text of each token as (text, start, end); tokens that share a character are joined."""
    utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text, start = "", None
    for index, piece in enumerate(pieces):
        if not piece:
            continue
        start = index if start is None else start
        text += utf8.decode(piece)
        if not utf8.getstate()[0]:
            yield text, start, index + 1
            text, start = "", None
    if start is not None and text:
        yield text, start, len(pieces)


def _continues(before: str, after: str) -> bool:
    if after[0] in _JOINING and len(after) > 1:
        return _is_spaced_letter(before[-1]) and _is_spaced_letter(after[1])
    return _is_spaced_letter(before[-1]) and _is_spaced_letter(after[0])


def _is_spaced_letter(character: str) -> bool:
    """A letter, digit or accent of a script that separates words by spaces."""
    if character == "_" or unicodedata.category(character)[0] in "LNM":
        return not any(low <= ord(character) <= high for low, high in _WITHOUT_SPACES)
    return False


_WITHOUT_SPACES = (  # Thai to Tibetan, Khmer, kana to ideographs, their extensions
    (0x0E00, 0x0FFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)
