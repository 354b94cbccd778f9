"""Decoding with CUDA graphs: a step, sampling included, is one graph, and tokens are read back every few steps.

In an eager step of 28 layers the host takes longer to launch the kernels than a GPU takes to run them; a graph is
launched at once. For replay everything that changes from step to step is kept in static buffers, and the step writes
into a KV cache of its own: the conversation's cache is copied into it first, and the new keys and values are copied
back. So graphs are captured once for each capacity and not once for each answer.

The capture and the replay have not been run on a GPU. The same step runs eagerly on a CPU, where tests hold it equal
to `generate_tokens` token for token, and on a GPU that refuses the capture.

Axes: V vocabulary, n steps of a block.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator

import torch
from torch import Tensor

from qwen2vl_demo.engine.sampling import Sampler, StaticSampler
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.kv_cache import KVCache

BLOCK = 8  # steps between two reads: 5 to 15 ms on a GPU, and the most steps that are computed in vain at the end
MIN_CAPACITY = 1024  # tokens; larger caches double it, so that there are few graphs and at most half a cache is unused
WARM_UP_STEPS = 3  # before the capture, so that libraries select their kernels and allocate their memory

log = logging.getLogger(__name__)


class CudaGraphDecoder:
    """Generates tokens with one decoder; keeps its graphs and the largest cache so far. One answer at a time."""

    def __init__(self, decoder: Decoder, vocab_size: int, *, capture: bool = True) -> None:
        """Without `capture` every step runs eagerly, for CPUs and for comparisons."""
        self._decoder, self._vocab_size, self._capture = decoder, vocab_size, capture
        self._steps: dict[tuple[int, bool], _StaticStep] = {}  # by capacity, and whether it is greedy
        self._cache: KVCache | None = None

    def generate(
        self, sampler: Sampler, logits: Tensor, rope_delta: int, cache: KVCache, max_tokens: int
    ) -> Generator[int, None, None]:
        """Yields `max_tokens` tokens of an answer, the first sampled from the logits (V,) after the prompt.

        When the generator is closed, `cache` holds everything before the last token that was yielded, as after
        `generate_tokens`. Until then it is not changed.
        """
        token = sampler.choose(logits)
        yield token
        step, start, new_tokens = self._step(cache, sampler), cache.length, 0
        step.begin(cache, token, rope_delta, sampler)
        try:
            while new_tokens < max_tokens - 1:
                for token in step.run(sampler.uniforms(min(BLOCK, max_tokens - 1 - new_tokens))):
                    new_tokens += 1
                    yield token
        finally:
            new = slice(start, start + new_tokens)
            cache.keys[..., new, :] = step.cache.keys[..., new, :]
            cache.values[..., new, :] = step.cache.values[..., new, :]
            cache.advance(new_tokens)

    def clear(self) -> None:
        """Frees the graphs and their cache."""
        self._steps, self._cache = {}, None

    def _step(self, cache: KVCache, sampler: Sampler) -> _StaticStep:
        capacity = MIN_CAPACITY
        while capacity < cache.capacity:
            capacity *= 2
        if self._cache is None or self._cache.capacity < capacity:
            self.clear()  # before the new one is allocated: both may not fit
            self._cache = KVCache(cache.config, capacity, device=cache.keys.device, dtype=cache.keys.dtype)
            self._cache.keys.zero_()
            self._cache.values.zero_()
        key = (capacity, sampler.options.temperature == 0)
        if key not in self._steps:
            self._steps[key] = _StaticStep(
                self._decoder, self._cache.within(capacity), self._vocab_size, key[1], self._capture
            )
        return self._steps[key]


class _StaticStep:
    """A decoding step on static buffers, captured or eager."""

    def __init__(self, decoder: Decoder, cache: KVCache, vocab_size: int, greedy: bool, capture: bool) -> None:
        self._decoder, self.cache = decoder, cache
        device = cache.keys.device

        def integers(size: int) -> Tensor:
            return torch.zeros(size, dtype=torch.int64, device=device)

        self._token, self._index, self._position = integers(1), integers(1), integers(1)
        self._in_block = integers(1)  # the step's number within its block
        self._tokens, self._uniforms = integers(BLOCK), torch.zeros(BLOCK, device=device)
        self._sampler = StaticSampler(vocab_size, greedy, device)
        self._step: Callable[[], None] = self._captured() if capture else self._eager

    @torch.inference_mode()
    def begin(self, cache: KVCache, token: int, rope_delta: int, sampler: Sampler) -> None:
        """Prepares the buffers to run `token` after what `cache` holds."""
        length = cache.length
        self.cache.keys[..., :length, :] = cache.keys[..., :length, :]
        self.cache.values[..., :length, :] = cache.values[..., :length, :]
        self._token.fill_(token)
        self._index.fill_(length)
        self._position.fill_(length + rope_delta)
        self._sampler.load(sampler, token)

    @torch.inference_mode()
    def run(self, uniforms: Tensor) -> list[int]:
        """Runs one step for each of the uniform numbers (n,), n at most BLOCK; returns the sampled tokens."""
        self._uniforms[: len(uniforms)] = uniforms.to(self._uniforms.device)
        self._in_block.zero_()
        for _ in range(len(uniforms)):
            self._step()
        return self._tokens[: len(uniforms)].tolist()  # the only synchronization with the device

    @torch.inference_mode()
    def _eager(self) -> None:
        logits = self._decoder.static_step(self._token, self._position, self._index, self.cache)
        self._token.copy_(self._sampler.choose(logits, self._uniforms.index_select(0, self._in_block)))
        self._tokens.index_copy_(0, self._in_block, self._token)
        for counter in (self._index, self._position, self._in_block):
            counter.add_(1)

    @torch.inference_mode()
    def _captured(self) -> Callable[[], None]:
        """The step as a graph; the eager step where the device or its driver refuses to capture."""
        try:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UP_STEPS):
                    self._in_block.zero_()
                    self._eager()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may prepare prompts
                self._eager()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning("Answers are written without a CUDA graph, which this device refused: %s", error)
            return self._eager
        return graph.replay
