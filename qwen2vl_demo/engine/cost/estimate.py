"""The predicted cost of a prompt: token counts exactly, memory closely, seconds as a range.

An `Estimate` is plain data, made by `Engine.estimate` and shown on the page. `tokens_only` makes one where no model
can be measured. Imports no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qwen2vl_demo.trace import PromptTrace

USER_TURN = ("<|im_start|>", "user")  # the readable pieces with which a question begins


@dataclass(frozen=True)
class Span:
    """Seconds, and how sure: most likely `about`, rarely outside `low` to `high`."""

    low: float
    about: float
    high: float

    @classmethod
    def around(cls, about: float, spread: float) -> Span:
        """`spread` is the logarithm of the factor by which it may be wrong either way."""
        return cls(about * math.exp(-spread), about, about * math.exp(spread))

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.about + other.about, self.high + other.high)

    def __mul__(self, times: float) -> Span:
        return Span(self.low * times, self.about * times, self.high * times)


NOTHING = Span(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Memory:
    """Bytes that an answer needs while it is written."""

    weights: int
    kv_cache: int  # of the prompt and of the longest answer that was asked for
    activations: int  # the most that lives inside a layer at a time: an upper estimate
    free: int | None = None  # what the device has left beside the weights; None if it does not say

    @property
    def total(self) -> int:
        return self.weights + self.kv_cache + self.activations

    @property
    def fits(self) -> bool | None:
        return None if self.free is None else self.kv_cache + self.activations <= self.free


@dataclass(frozen=True)
class Times:
    """Seconds of the parts of an answer, in their order. What is reused is not in them."""

    prepare: Span  # words made into ids, files that were opened found again, a KV cache copied
    encode: Span  # the vision transformer
    prefill: Span  # the prompt read by the language model
    token: Span  # each token of the answer, the prompt's length included

    @property
    def first_token(self) -> Span:
        return self.prepare + self.encode + self.prefill


@dataclass(frozen=True)
class Estimate:
    """What one answer will cost. Token counts are exact; `memory` and `times` are None where nobody can say."""

    prompt_tokens: int
    turn_tokens: int  # of these, from the last question on
    media_tokens: int  # of all, for pictures and clips
    context_length: int
    reused_tokens: int = 0  # of the prompt, still known from an earlier turn
    media: int = 0  # pictures and clips in the prompt
    reused_media: int = 0  # of these, not encoded again
    memory: Memory | None = None
    times: Times | None = None
    basis: str = ""  # for people: what the seconds rest on, or a sentence that says why there are none

    @property
    def room(self) -> int:
        """Tokens left for an answer."""
        return max(0, self.context_length - self.prompt_tokens)


def tokens_only(trace: PromptTrace, why: str = "") -> Estimate:
    """All that can be said without a model; `why` is the sentence that says what is missing."""
    return Estimate(
        prompt_tokens=len(trace),
        turn_tokens=len(trace) - last_question(trace),
        media_tokens=sum(m.merged_tokens for m in trace.media),
        context_length=trace.context_length,
        media=len(trace.media),
        basis=why,
    )


def last_question(trace: PromptTrace) -> int:
    """Index of the token with which the last user turn begins; 0 if there is none.

    A typed "<|im_start|>" is no special token, so a visitor's words cannot move it.
    """
    tokens = trace.tokens
    for at in range(len(tokens) - 2, -1, -1):
        if (tokens[at], tokens[at + 1].strip()) == USER_TURN:
            return at
    return 0
