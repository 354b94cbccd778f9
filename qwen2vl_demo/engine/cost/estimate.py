"""The predicted cost of a prompt: token counts exactly, memory closely, seconds as a range.

An `Estimate` is plain data, made by `Engine.estimate` and shown on the page. `tokens_only` makes one where no model
can be measured. Imports no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qwen2vl_demo.trace import PromptTrace

USER_TURN = ("<|im_start|>", "user")  # the first tokens of a question


@dataclass(frozen=True)
class TimeRange:
    """A predicted number of seconds: most likely `about`, rarely outside `low` to `high`."""

    low: float
    about: float
    high: float

    @classmethod
    def around(cls, about: float, spread: float) -> TimeRange:
        """`spread` is the logarithm of the factor by which `about` may be wrong in either direction."""
        return cls(about * math.exp(-spread), about, about * math.exp(spread))

    def __add__(self, other: TimeRange) -> TimeRange:
        return TimeRange(self.low + other.low, self.about + other.about, self.high + other.high)

    def __mul__(self, times: float) -> TimeRange:
        return TimeRange(self.low * times, self.about * times, self.high * times)


NO_TIME = TimeRange(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Memory:
    """Bytes that generating an answer needs."""

    weights: int
    kv_cache: int  # of the prompt and of the longest answer allowed
    activations: int  # the peak inside a layer: an upper estimate
    free: int | None = None  # on the device, beside the weights; None where unknown

    @property
    def total(self) -> int:
        return self.weights + self.kv_cache + self.activations

    @property
    def fits(self) -> bool | None:
        return None if self.free is None else self.kv_cache + self.activations <= self.free


@dataclass(frozen=True)
class Times:
    """Seconds of the phases of an answer, in their order, without what is cached."""

    prepare: TimeRange  # tokenizing, finding decoded media, copying a KV cache
    encode: TimeRange  # the vision transformer
    prefill: TimeRange  # the language model over the prompt
    token: TimeRange  # each token of the answer

    @property
    def first_token(self) -> TimeRange:
        return self.prepare + self.encode + self.prefill


@dataclass(frozen=True)
class Estimate:
    """What one answer will cost. Token counts are exact; `memory` and `times` are None where they are unknown."""

    prompt_tokens: int
    turn_tokens: int  # of these, from the last question on
    media_tokens: int  # of all, for pictures and clips
    context_length: int | None  # positions; None where the model runs on a server that does not tell
    reused_tokens: int = 0  # of the prompt, in the KV cache from an earlier turn
    media: int = 0  # pictures and clips in the prompt
    reused_media: int = 0  # of these, not encoded again
    memory: Memory | None = None
    times: Times | None = None
    place: str = "on this device"  # where `times` pass
    basis: str = ""  # what the seconds are based on, or why there are none; for people

    @property
    def room(self) -> int | None:
        """Tokens left for an answer; None if that is unknown."""
        return None if self.context_length is None else max(0, self.context_length - self.prompt_tokens)


def tokens_only(trace: PromptTrace, why: str = "") -> Estimate:
    """An estimate without a model; `why` is a sentence, for people, that gives the reason."""
    return Estimate(
        prompt_tokens=len(trace),
        turn_tokens=len(trace) - last_question(trace),
        media_tokens=sum(m.merged_tokens for m in trace.media),
        context_length=trace.context_length,
        media=len(trace.attached),
        basis=why,
    )


def last_question(trace: PromptTrace) -> int:
    """The index of the token with which the last user turn starts; 0 if there is none.

    A typed "<|im_start|>" is not a special token, so the text of a message cannot move it.
    """
    tokens = trace.tokens
    for at in range(len(tokens) - 2, -1, -1):
        if (tokens[at], tokens[at + 1].strip()) == USER_TURN:
            return at
    return 0
