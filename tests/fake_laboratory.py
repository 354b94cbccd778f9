"""The laboratory of the fake engine: word number n needs cell number n of each picture, counted round.

Every token of an answer has a log-probability of -0.5. A word loses 3 where its cell is left out of attention, and 6
where it is grey. The attention on what is watched is a hundredth for each token. A word was chosen from itself, with
0.6, "red" with 0.3 and "<b>" with 0.1. Layer n of a token resembles "layer-n". Where "slow" is the last word of the
question, hiding anything behind the first token of a picture takes until it is stopped, at most half a minute.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from qwen2vl_demo.engine.laboratory import Candidate, Choice, Choices, Likelihood, Way
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.request_queue import Ticket
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.processor import Prompt

if TYPE_CHECKING:
    from tests.fake_engine import FakeEngine

LIKELY = -0.5
LOST = {"left_out": 3.0, "grey": 6.0}


class FakeLaboratory:
    """Implements qwen2vl_demo.engine.protocol.Laboratory."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    def likelihood(
        self,
        prompt: Prompt,
        answer: str,
        watched: Collection[int] = (),
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> Likelihood | None:
        words = self._engine.answer_words(prompt.trace, answer)
        count = words[-1].end
        shares = np.full(count, len(watched) / 100, np.float32)
        return Likelihood(words, np.full(count, LIKELY, np.float32), shares)

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
        slow = "slow" in prompt.trace.tokens[-4:] and min(hidden, default=0) > prompt.trace.media[0].span[0]
        if slow and cancel is not None:  # the last word of the question
            cancel.wait(30)
            return None
        words = self._engine.answer_words(prompt.trace, answer)
        likely = np.full(words[-1].end, LIKELY, np.float32)
        for number, word in enumerate(words):
            for medium in prompt.trace.media:
                if medium.span[0] + number % medium.merged_tokens in hidden:
                    likely[word.start] -= LOST[way]
        return likely

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
        words = self._engine.answer_words(prompt.trace, answer)
        if not 0 <= word < len(words):
            raise UserError(f"The answer has {len(words)} words; choose one of them.")
        chosen = Candidate(100 + word, words[word].text, 0.6)
        candidates = (chosen, Candidate(7, " red", 0.3), Candidate(8, "<b>", 0.1))
        return Choices(words[word], (Choice(words[word].start, chosen, candidates, 3),))

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
        if token not in (7, 8):
            raise UserError("There is no such token; choose one of those that are shown.")
        return f"<i>Instead</i> token {token} at {place}."

    def layer_words(
        self, prompt: Prompt, token: int, cancel: threading.Event | None = None, *, ticket: Ticket | None = None
    ) -> tuple[tuple[Candidate, ...], ...] | None:
        return tuple((Candidate(layer, f"layer-{layer}", 0.5), Candidate(9, "red", 0.25)) for layer in range(3))
