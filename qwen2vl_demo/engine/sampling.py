"""How the next token is chosen from its logits: `Sampler`, and `StaticSampler` with the same rules for a CUDA graph.

Add a sampling rule to both; tests hold them equal. StaticSampler reads nothing back to the host, has fixed shapes, and
keeps the options in buffers, so that one captured graph serves every answer.

Axes: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qwen2vl_demo.engine.protocol import GenerationOptions


class Sampler:
    """Samples tokens as the options ask; tracks the tokens to which a repetition penalty applies."""

    def __init__(self, options: GenerationOptions, prompt: Tensor, never: Sequence[int] = ()) -> None:
        """`prompt` are the ids (L,) of the prompt, `never` ids that are never sampled, such as placeholders."""
        self.options = options
        self.never = torch.tensor(list(never), dtype=torch.int64, device=prompt.device)
        self.seen = prompt.unique()
        self.generator = torch.Generator()
        if options.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(options.seed)

    def choose(self, logits: Tensor) -> int:
        """The next token, given its logits (V,)."""
        logits = self._adjusted(logits)
        token = int(logits.argmax()) if self.options.temperature == 0 else self._draw(logits.cpu())
        if self.options.repetition_penalty != 1.0:
            self.seen = torch.cat([self.seen, self.seen.new_tensor([token])]).unique()
        return token

    def distribution(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The probabilities of the tokens that can be drawn from logits (V,), and these tokens, most probable first.

        Greedy decoding draws nothing; its probabilities are those of all tokens at temperature 1.
        """
        logits = self._adjusted(logits).cpu()
        if self.options.temperature == 0:
            logits, tokens = logits.sort(descending=True, stable=True)
            return logits.softmax(0), tokens
        probabilities, tokens = self._drawable(logits)
        return probabilities / probabilities.sum(), tokens[: len(probabilities)]

    def _adjusted(self, logits: Tensor) -> Tensor:
        logits = logits.float().index_fill(0, self.never, float("-inf"))
        return logits if self.options.repetition_penalty == 1.0 else self._penalise(logits)

    def _penalise(self, logits: Tensor) -> Tensor:
        """Divides positive logits of seen tokens by the penalty, multiplies negative ones (CTRL, arXiv 1909.05858)."""
        penalty = self.options.repetition_penalty
        seen = logits[self.seen]
        return logits.index_copy(0, self.seen, torch.where(seen > 0, seen / penalty, seen * penalty))

    def _drawable(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The probabilities of the tokens that are drawn from, and all tokens, both sorted."""
        logits, tokens = (logits / self.options.temperature).sort(descending=True, stable=True)
        if self.options.top_k:
            logits = logits[: self.options.top_k]
        probabilities = logits.softmax(0)
        if self.options.top_p < 1:
            before = probabilities.cumsum(0) - probabilities  # the smallest set that reaches top_p, never empty
            probabilities = probabilities[before < self.options.top_p]
        return probabilities, tokens

    def _draw(self, logits: Tensor) -> int:
        probabilities, tokens = self._drawable(logits)
        cumulative = probabilities.cumsum(0)  # inverse transform sampling: one uniform number selects the token
        index = (cumulative <= self.uniforms(1) * cumulative[-1]).sum().clamp(max=len(cumulative) - 1)
        return int(tokens[index])

    def uniforms(self, count: int) -> Tensor:
        """The next uniform numbers (count,) in [0, 1); the sequence does not depend on how many are taken at a time."""
        return torch.rand(count, generator=self.generator)


class StaticSampler:
    """The rules of Sampler on static buffers. `greedy` is fixed at capture, since a greedy step does not sort."""

    def __init__(self, vocab_size: int, greedy: bool, device: torch.device) -> None:
        self._greedy = greedy
        self._ranks = torch.arange(vocab_size, device=device)
        self._never = torch.zeros(vocab_size, dtype=torch.bool, device=device)
        self._seen = torch.zeros(vocab_size, dtype=torch.bool, device=device)
        self._penalty, self._temperature, self._top_p, self._top_k = torch.ones(4, device=device).unbind()

    def load(self, sampler: Sampler, token: int) -> None:
        """Copies the rules and the seen tokens of an answer whose first token was just sampled into the buffers."""
        options = sampler.options
        self._never.zero_().index_fill_(0, sampler.never, True)
        self._seen.zero_().index_fill_(0, sampler.seen, True)
        self._seen[token] = True
        self._penalty.fill_(options.repetition_penalty)
        self._temperature.fill_(options.temperature or 1.0)
        self._top_p.fill_(options.top_p)
        self._top_k.fill_(options.top_k or len(self._ranks))

    def choose(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """The next token (1,), given its logits (V,) and a uniform number (1,) in [0, 1)."""
        logits = logits.float().masked_fill(self._never, float("-inf"))
        penalised = torch.where(logits > 0, logits / self._penalty, logits * self._penalty)
        logits = torch.where(self._seen, penalised, logits)
        token = logits.argmax(0, keepdim=True) if self._greedy else self._draw(logits, uniform)
        self._seen.index_fill_(0, token, True)
        return token

    def _draw(self, logits: Tensor, uniform: Tensor) -> Tensor:
        logits, tokens = (logits / self._temperature).sort(descending=True, stable=True)
        probabilities = logits.masked_fill(self._ranks >= self._top_k, float("-inf")).softmax(0)
        before = probabilities.cumsum(0) - probabilities
        probabilities = torch.where((before < self._top_p) | (self._top_p >= 1), probabilities, 0)
        cumulative = probabilities.cumsum(0)
        index = (cumulative <= uniform * cumulative[-1]).sum(0, keepdim=True)
        last = (probabilities > 0).sum(0, keepdim=True) - 1  # rounding may carry the index past the kept tokens
        return tokens.gather(0, index.minimum(last))
