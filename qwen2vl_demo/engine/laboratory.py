"""What can be asked about a finished answer beyond its attention: how likely it is, what else it could have been, and
what a token of a picture resembles on its way through the layers.

`Laboratory` is a protocol, implemented by `local_laboratory.py` for an engine whose weights are in this process.
Imports no torch.

Axes: A tokens of the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from qwen2vl_demo.attention_trace import Word
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.request_queue import Ticket

if TYPE_CHECKING:
    from qwen2vl_demo.processing.processor import Prompt

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


class Laboratory(Protocol):
    """Each call takes a place in the engine's queue (`ticket` is as in `Engine.stream`), returns None if `cancel` was
    set, and raises UserError for what the caller can change. `prompt` is that of the answer."""

    def likelihood(
        self,
        prompt: Prompt,
        answer: str,
        watched: Collection[int] = (),
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> Likelihood | None:
        """The likelihood of an answer in one forced pass. `watched` are indices in the prompt."""
        ...

    def likelihood_without(
        self,
        prompt: Prompt,
        answer: str,
        hidden: Collection[int],
        way: Way,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> np.ndarray | None:
        """The log-probabilities (A,) of the same tokens when merged tokens, given by their indices in the prompt, are
        hidden. Raises ValueError if some are no merged tokens."""
        ...

    def choices(
        self,
        prompt: Prompt,
        answer: str,
        word: int,
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> Choices | None:
        """What the tokens of word number `word` were chosen from, by the rules of these options."""
        ...

    def continued(
        self,
        prompt: Prompt,
        answer: str,
        place: int,
        token: int,
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> str | None:
        """The answer that would have been: up to `place` as it is, then `token`, then greedy."""
        ...

    def layer_words(
        self, prompt: Prompt, token: int, cancel: threading.Event | None = None, *, ticket: Ticket | None = None
    ) -> tuple[tuple[Candidate, ...], ...] | None:
        """For token number `token` of the prompt, the tokens of the vocabulary nearest to its hidden state: before the
        first layer, and after each. Nearness is the probability that the output layer gives them from this state."""
        ...
