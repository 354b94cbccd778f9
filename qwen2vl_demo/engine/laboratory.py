"""What can be asked about a finished answer beyond its attention: how likely it is, what else it could have been, and
what a token of a picture resembles on its way through the layers.

`protocol.Laboratory` asks, and `local_laboratory.py` answers for an engine whose weights are in this process.
Imports no torch.

Axes: A tokens of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qwen2vl_demo.attention_trace import Word

Way = Literal["grey", "left_out"]  # its pixels are grey; its merged tokens are left out of attention
TOP = 5  # candidates that are told of each choice


@dataclass(frozen=True, eq=False)
class Likelihood:
    """How likely the tokens of an answer are, each given the prompt and the tokens before it."""

    words: tuple[Word, ...]
    log_probabilities: np.ndarray  # (A,) float32, of the model's own distribution: temperature 1, nothing excluded
    shares: np.ndarray  # (A,) float32: of the attention behind each token, what lay on the tokens that were watched
    exact_tokens: bool = True  # False: the answer was tokenized again from its text, perhaps differently


@dataclass(frozen=True)
class Candidate:
    """A token that could stand at some place."""

    token: int
    text: str  # readable
    probability: float


@dataclass(frozen=True)
class Choice:
    """What one token of an answer was chosen from."""

    place: int  # of the token in the answer
    chosen: Candidate  # its probability is 0 where the distribution does not hold it
    candidates: tuple[Candidate, ...]  # the most probable ones, at most TOP
    count: int  # tokens that had a chance at all


@dataclass(frozen=True, eq=False)
class Choices:
    """What the tokens of one word were chosen from, in order."""

    word: Word
    choices: tuple[Choice, ...]
    exact_tokens: bool = True  # as in Likelihood
