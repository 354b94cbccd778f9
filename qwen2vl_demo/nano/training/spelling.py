"""Copied print is learnt letter by letter: one token for each character, where the tokenizer would write longer ones.

A character has one place on a page, while the characters of a longer token often lie in several cells, and which of
them the tokenizer joins has to be learnt for each. The text that the tokens make is the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qwen2vl_demo.nano.dialogue.dialogue import DialogueTurn
from qwen2vl_demo.nano.world.scene import CHARACTERS
from qwen2vl_demo.processing.tokenizer import Tokenizer


def letter_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """The id of the token of each character that can be printed, and of the newline."""
    return {character: tokenizer.encode_text(character)[0] for character in (*CHARACTERS, "\n")}


def spell_out(
    ids: np.ndarray,
    turn_ids: np.ndarray,
    turns: Sequence[DialogueTurn],
    tokenizer: Tokenizer,
    letters: dict[str, int],
) -> tuple[np.ndarray, np.ndarray]:
    """The ids (L,) of a dialogue with copied print spelled out, (L',), and the new position of each old one, (L,).

    `turn_ids` (L,) is the index of the turn whose answer the *next* token belongs to, else -1.
    """
    pieces = [[int(i)] for i in ids]
    for index, turn in enumerate(turns):
        copied = np.zeros(len(turn.answer) + 1, bool)
        for part in turn.attention_targets:
            if part.copied:
                copied[part.start : part.end] = True
        if not copied.any():
            continue
        start = 0
        for at in np.flatnonzero(turn_ids == index)[:-1] + 1:  # the last of them is <|im_end|>
            text = tokenizer.decode(pieces[at])
            if len(text) > 1 and copied[start : start + len(text)].any() and all(each in letters for each in text):
                pieces[at] = [letters[each] for each in text]
            start += len(text)
    positions = np.cumsum([0, *map(len, pieces)])[:-1]
    return np.concatenate([np.asarray(piece, ids.dtype) for piece in pieces]), positions
