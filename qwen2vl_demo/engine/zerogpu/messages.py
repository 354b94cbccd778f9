"""What crosses the boundary between the page's process and the one with the GPU. All of it is pickled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from qwen2vl_demo.attention_trace import AttentionTrace
from qwen2vl_demo.engine.cost.calibration import DeviceSpeed
from qwen2vl_demo.engine.protocol import Chunk, GenerationOptions
from qwen2vl_demo.processing.processor import Prompt


@dataclass(frozen=True, eq=False)
class AnswerRequest:
    """A question to answer."""

    prompt: Prompt
    options: GenerationOptions
    seconds: int  # for which the GPU is asked for
    stop: int  # the number of the flag that ends it
    measure: bool = False  # whether to tell how fast the GPU is


@dataclass(frozen=True, eq=False)
class AttentionRequest:
    """The word of an answer whose attention is wanted."""

    prompt: Prompt
    answer: str
    ids: np.ndarray | None  # (A,) int64: the answer's tokens as they were sampled; None if they are not known
    word: int
    seconds: int
    stop: int


@dataclass(frozen=True, eq=False)
class Sampled:
    """The tokens of an answer, from which the attention behind its words is computed later."""

    ids: np.ndarray  # (A,) int64


@dataclass(frozen=True)
class Measured:
    """How fast the GPU runs this model."""

    speed: DeviceSpeed


@dataclass(frozen=True)
class Refused:
    """The sentence of a UserError."""

    sentence: str


@dataclass(frozen=True)
class Failed:
    """The traceback of an exception that is a bug, as text."""

    trace: str


Request = AnswerRequest | AttentionRequest
Event = Chunk | Sampled | Measured | AttentionTrace | Refused | Failed
Task = Callable[[Request], Iterator[Event]]


class Lend(Protocol):
    """The decorator `spaces.GPU`: the function that it returns runs `task` where the GPU is, for up to the seconds that
    `duration` gives for the same argument."""

    def __call__(self, task: Task, *, duration: Callable[[Request], int]) -> Task: ...


def without_thumbnails(prompt: Prompt) -> Prompt:
    """The prompt without what only the page draws."""
    return replace(prompt, media=tuple(replace(medium, thumbnail=None) for medium in prompt.media))
