"""Writing an answer, one token at a time: `prefill`, `decode_step`, and how the next token is chosen.

Knows the model, a KV cache and numbers; knows neither messages nor text.

Axes: L tokens of the prompt, C width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import torch
from torch import Tensor

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.qwen2vl import Qwen2VL

PREFILL_CHUNK = 2048  # tokens at a time: bounds the activations of a long prompt, and the wait for a Stop


@torch.inference_mode()
def prefill(
    model: Qwen2VL,
    input_ids: Tensor,
    vision: Tensor | None,
    position_ids: Tensor,
    cache: KVCache,
    checkpoint: Callable[[], None],
) -> Tensor:
    """Runs a prompt (L,) at position_ids (3, L) into the cache; returns the logits (V,) behind its last token.

    `checkpoint` is called before every layer and may raise to abandon the work.
    """
    embeddings = model.embed(input_ids[None], vision)
    positions = position_ids[:, None]
    hidden = embeddings
    for start in range(0, embeddings.shape[1], PREFILL_CHUNK):
        chunk = slice(start, start + PREFILL_CHUNK)
        hidden = model(embeddings[:, chunk], positions[:, :, chunk], cache, checkpoint, last_only=True)
    return model.logits(hidden[0, -1:])[0]


def tokens_one_by_one(
    decoder: Decoder, sampler: Sampler, logits: Tensor, rope_delta: int, cache: KVCache
) -> Generator[int, None, None]:
    """The tokens of an answer, without end: the first is chosen by the logits (V,) behind the prompt.

    While a token is looked at, the cache holds everything before it and not yet the token.
    """
    while True:
        token = sampler.choose(logits)
        yield token
        logits = decode_step(decoder, token, rope_delta, cache)


def decode_step(decoder: Decoder, token: int, rope_delta: int, cache: KVCache) -> Tensor:
    """Runs one new token behind the cache; returns the logits (V,) of the token after it."""
    return decoder.step(token, cache.length + rope_delta, cache)


class Sampler:
    """Chooses tokens as the options say; remembers which tokens a repetition penalty applies to."""

    def __init__(self, options: GenerationOptions, prompt: Tensor, never: Sequence[int] = ()) -> None:
        """`never` are ids that an answer must not hold: placeholders, which would ask for a picture."""
        self.options = options
        self.never = torch.tensor(list(never), dtype=torch.int64, device=prompt.device)
        self.seen = prompt.unique()
        self.generator = torch.Generator()
        if options.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(options.seed)

    def choose(self, logits: Tensor) -> int:
        """The next token out of logits (V,)."""
        logits = logits.float().index_fill(0, self.never, float("-inf"))
        if self.options.repetition_penalty != 1.0:
            logits = self._penalise(logits)
        token = int(logits.argmax()) if self.options.temperature == 0 else self._draw(logits.cpu())
        if self.options.repetition_penalty != 1.0:
            self.seen = torch.cat([self.seen, self.seen.new_tensor([token])]).unique()
        return token

    def _penalise(self, logits: Tensor) -> Tensor:
        """Divides what speaks for a seen token and multiplies what speaks against it (CTRL, arXiv 1909.05858)."""
        penalty = self.options.repetition_penalty
        seen = logits[self.seen]
        return logits.index_copy(0, self.seen, torch.where(seen > 0, seen / penalty, seen * penalty))

    def _draw(self, logits: Tensor) -> int:
        logits, tokens = (logits / self.options.temperature).sort(descending=True, stable=True)
        if self.options.top_k:
            logits = logits[: self.options.top_k]
        probabilities = logits.softmax(0)
        if self.options.top_p < 1:
            before = probabilities.cumsum(0) - probabilities  # the smallest set that reaches top_p, never empty
            probabilities = probabilities[before < self.options.top_p]
        reached = probabilities.cumsum(0)  # one number drawn between 0 and all of it says which token
        place = (reached <= self.uniforms(1) * reached[-1]).sum().clamp(max=len(reached) - 1)
        return int(tokens[place])

    def uniforms(self, count: int) -> Tensor:
        """The next numbers (count,) in 0..1 that decide; the same, however many are taken at a time."""
        return torch.rand(count, generator=self.generator)
