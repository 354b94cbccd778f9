"""The choice of the next token inside a CUDA graph: nothing is read back, and no shape depends on a number.

The same rules as `generate.Sampler`, which stays beside it as the plain version; tests hold the two equal. What an
answer's options say stands in buffers, so that one graph serves them all.

Axes: V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qwen2vl_demo.engine.generate import Sampler


class Choice:
    """Rules in static buffers. `greedy` is fixed, since a greedy step does not sort."""

    def __init__(self, vocabulary: int, greedy: bool, device: torch.device) -> None:
        self._greedy = greedy
        self._ranks = torch.arange(vocabulary, device=device)
        self._never = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self._seen = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self._penalty, self._temperature, self._top_p, self._top_k = torch.ones(4, device=device).unbind()

    def follow(self, sampler: Sampler, token: int) -> None:
        """Takes over the rules of an answer whose first token was just chosen."""
        options = sampler.options
        self._never.zero_().index_fill_(0, sampler.never, True)
        self._seen.zero_().index_fill_(0, sampler.seen, True)
        self._seen[token] = True
        self._penalty.fill_(options.repetition_penalty)
        self._temperature.fill_(options.temperature or 1.0)
        self._top_p.fill_(options.top_p)
        self._top_k.fill_(options.top_k or len(self._ranks))

    def choose(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """The next token (1,) out of logits (V,); `uniform` (1,) in 0..1 decides where chance does."""
        logits = logits.float().masked_fill(self._never, float("-inf"))
        penalised = torch.where(logits > 0, logits / self._penalty, logits * self._penalty)
        logits = torch.where(self._seen, penalised, logits)
        token = logits.argmax(0, keepdim=True) if self._greedy else self._drawn(logits, uniform)
        self._seen.index_fill_(0, token, True)
        return token

    def _drawn(self, logits: Tensor, uniform: Tensor) -> Tensor:
        logits, tokens = (logits / self._temperature).sort(descending=True, stable=True)
        probabilities = logits.masked_fill(self._ranks >= self._top_k, float("-inf")).softmax(0)
        before = probabilities.cumsum(0) - probabilities
        probabilities = torch.where((before < self._top_p) | (self._top_p >= 1), probabilities, 0)
        reached = probabilities.cumsum(0)
        place = (reached <= uniform * reached[-1]).sum(0, keepdim=True)
        last = (probabilities > 0).sum(0, keepdim=True) - 1  # rounding may carry the number past all of them
        return tokens.gather(0, place.minimum(last))
