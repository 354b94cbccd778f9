"""YaRN: rotary embeddings for a context several times longer than the one a checkpoint was trained with.

Fast frequency pairs, which have made many turns within the trained context, stay as they are; slow ones turn `factor`
times slower, so that positions they have never seen fall between those they have; a ramp lies between. Imports no
torch.

Source: arXiv 2309.00071. Names and defaults are those of transformers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from qwen2vl_demo.geometry import inverse_frequencies
from qwen2vl_demo.json_values import integer_in, need, number_in, switch_in

BETA_FAST = 32.0
BETA_SLOW = 1.0
MAX_FACTOR = 1024
MAX_ORIGINAL_CONTEXT = 2**22


@dataclass(frozen=True)
class Yarn:
    """How a checkpoint's rotary embeddings are stretched."""

    factor: float  # times the context that the checkpoint was trained with
    original_context: int  # that context, in positions
    attention_factor: float  # cos and sin are multiplied by it, and so attention scores by its square
    beta_fast: float = BETA_FAST  # turns within the original context: pairs that make more stay as they are,
    beta_slow: float = BETA_SLOW  # and pairs that make fewer turn `factor` times slower
    truncate: bool = True  # whether the ramp between them begins and ends at whole pairs

    @property
    def context(self) -> int:
        """Positions after stretching."""
        return int(self.factor * self.original_context)

    def slowed(self, pairs: int, theta: float) -> np.ndarray:
        """Of each frequency pair, fastest first, how far it is slowed: 0 not at all, 1 by the whole factor. (pairs,)"""
        begin, end = (self._pair_of(turns, pairs, theta) for turns in (self.beta_fast, self.beta_slow))
        if self.truncate:
            begin, end = math.floor(begin), math.ceil(end)
        begin, end = max(begin, 0), min(end, 2 * pairs - 1)
        if begin == end:
            end += 0.001  # a step instead of a ramp
        return np.clip((np.arange(pairs) - begin) / (end - begin), 0, 1)

    def inverse_frequencies(self, pairs: int, theta: float) -> np.ndarray:
        """Radians per position of each frequency pair, fastest first. (pairs,) float64"""
        slowed, plain = self.slowed(pairs, theta), inverse_frequencies(pairs, theta)
        return plain * (1 - slowed) + plain / self.factor * slowed

    def _pair_of(self, turns: float, pairs: int, theta: float) -> float:
        """The pair, as a fraction, that makes so many turns within the original context."""
        return pairs * math.log(self.original_context / (turns * 2 * math.pi)) / math.log(theta)

    def to_dict(self) -> dict[str, Any]:
        """The inverse of `read_yarn`, without the sections."""
        return {
            "rope_type": "yarn",
            "type": "yarn",
            "factor": self.factor,
            "original_max_position_embeddings": self.original_context,
            "attention_factor": self.attention_factor,
            "beta_fast": self.beta_fast,
            "beta_slow": self.beta_slow,
            "truncate": self.truncate,
        }


def read_yarn(rope: dict[str, Any], text: dict[str, Any], theta: float) -> Yarn:
    """The YaRN that a `rope_scaling` asks for; `text` is the rest of the language model's part of the config.json.

    Raises UserError for values that cannot be.
    """
    stated = integer_in(text, "max_position_embeddings", maximum=MAX_ORIGINAL_CONTEXT)
    key = "original_max_position_embeddings"
    place = text if text.get(key) is not None else rope
    original = integer_in(place, key, default=stated, maximum=MAX_ORIGINAL_CONTEXT)
    default = stated / original if original != stated else None
    factor = number_in(rope, "factor", default=default, maximum=MAX_FACTOR)
    fast = number_in(rope, "beta_fast", default=BETA_FAST, maximum=1e6)
    slow = number_in(rope, "beta_slow", default=BETA_SLOW, maximum=1e6)
    need(slow <= fast, f"the beta_slow of its YaRN is {slow:g} and so above its beta_fast, {fast:g}")
    need(theta > 1, f"YaRN needs a rope_theta above 1, and it is {theta:g}")
    return Yarn(
        factor=float(factor),
        original_context=original,
        attention_factor=_attention_factor(rope, factor),
        beta_fast=float(fast),
        beta_slow=float(slow),
        truncate=switch_in(rope, "truncate", default=True),
    )


def _attention_factor(rope: dict[str, Any], factor: float) -> float:
    if rope.get("attention_factor") is not None:
        return float(number_in(rope, "attention_factor", maximum=100))

    def grown(scale: float) -> float:
        return 0.1 * scale * math.log(factor) + 1 if factor > 1 else 1.0

    keys = ("mscale", "mscale_all_dim")
    if all(rope.get(key) not in (None, 0) for key in keys):
        over, under = (number_in(rope, key, maximum=100) for key in keys)
        return grown(over) / grown(under)
    return grown(1)
