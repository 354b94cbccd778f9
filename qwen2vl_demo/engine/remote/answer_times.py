"""Predicts how long a server takes by what its last answers took.

Nothing is known about the server's hardware, and others may use it. The time to the first token is taken as a constant
and a part that is proportional to the prompt; both follow the last answers. Thread-safe.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass

from qwen2vl_demo.engine.cost.estimate import NO_TIME, TimeRange, Times

HISTORY = 16  # answers that are remembered
DECAY = 0.8  # weight of an answer relative to the next one
PRIOR_SPREAD = 0.6  # log of the factor by which one answer alone may mislead
MIN_SPREAD = 0.2


@dataclass(frozen=True)
class _Observation:
    prompt_tokens: int
    first_token: float  # s
    token: float | None  # s for each token after it


class AnswerTimes:
    """The times of the last answers of one server."""

    def __init__(self) -> None:
        self._observations: deque[_Observation] = deque(maxlen=HISTORY)  # newest last
        self._lock = threading.Lock()

    def observe(self, prompt_tokens: int, new_tokens: int, timings: dict[str, float]) -> None:
        """Remembers an answer that was not cancelled; `timings` are those of its Result."""
        first = timings.get("first_token", 0.0) - timings.get("wait", 0.0)
        if first <= 0 or prompt_tokens <= 0:
            return
        decode = timings.get("decode", 0.0)
        token = decode / new_tokens if new_tokens > 1 and decode > 0 else None
        with self._lock:
            self._observations.append(_Observation(prompt_tokens, first, token))

    def forget(self) -> None:
        """Another model answers from now on."""
        with self._lock:
            self._observations.clear()

    def predict(self, prompt_tokens: int) -> Times | None:
        """Seconds of an answer; None before the first one was observed."""
        with self._lock:
            seen = list(self._observations)
        tokens = [one for one in seen if one.token is not None]
        if not seen or not tokens:
            return None
        constant, slope = _line(seen)
        first = [math.log(o.first_token / max(1e-6, constant + slope * o.prompt_tokens)) for o in seen]
        about = math.exp(_mean([math.log(o.token) for o in tokens if o.token]))
        each = [math.log(o.token / about) for o in tokens if o.token]
        return Times(
            prepare=NO_TIME,
            encode=NO_TIME,
            prefill=TimeRange.around(constant + slope * prompt_tokens, _spread(first)),
            token=TimeRange.around(about, _spread(each)),
        )

    @property
    def basis(self) -> str:
        """What predictions rest on, for people."""
        with self._lock:
            count = len(self._observations)
        return "the last answer of this server" if count == 1 else f"the last {count} answers of this server"


def _weights(count: int) -> list[float]:
    return [DECAY**age for age in range(count)][::-1]


def _mean(values: list[float]) -> float:
    weights = _weights(len(values))
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def _line(seen: list[_Observation]) -> tuple[float, float]:
    """(constant, slope) of the weighted least squares, neither below 0. Prompts of one length do not tell constant and
    slope apart, and half of the time is taken for each."""
    n = _mean([float(o.prompt_tokens) for o in seen])
    seconds = _mean([o.first_token for o in seen])
    variance = _mean([(o.prompt_tokens - n) ** 2 for o in seen])
    if variance < (0.1 * n) ** 2:
        return seconds / 2, seconds / 2 / n
    slope = _mean([(o.prompt_tokens - n) * (o.first_token - seconds) for o in seen]) / variance
    slope = min(max(slope, 0.0), seconds / n)  # so that the constant is not below 0
    return seconds - slope * n, slope


def _spread(residuals: list[float]) -> float:
    """The logarithm of the factor by which a prediction may be wrong."""
    weights = _weights(len(residuals))
    squares = PRIOR_SPREAD**2 + sum(w * r**2 for w, r in zip(weights, residuals, strict=True))
    return max(MIN_SPREAD, 1.5 * math.sqrt(squares / (sum(weights) + 1)))
