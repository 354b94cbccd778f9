"""Tokens written ahead of the host: one step, choice included, is one CUDA graph, and tokens are read every few steps.

In an eager step of 28 layers the host takes longer to ask for the work than a GPU takes to do it. A graph is asked for
at once. So that it can be replayed, all that changes from step to step stands in static buffers, and the answer is
written into a KV cache of this room's own, into which the conversation's is copied first and from which the new keys
and values are copied back: graphs are captured once a capacity, not once an answer.

The capture and the replay have not been run on a GPU. What they replay has: the same step runs eagerly on a CPU, where
tests hold it equal to `tokens_one_by_one` token for token; and eagerly on a GPU that refuses the capture.

Axes: V vocabulary, n steps of a block.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator

import torch
from torch import Tensor

from qwen2vl_demo.engine.generate import Sampler
from qwen2vl_demo.engine.sampling import Choice
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.kv_cache import KVCache

BLOCK = 8  # steps between two looks at the tokens: 5 to 15 ms on a GPU, and the most that are computed for nothing
LEAST_CAPACITY = 1024  # tokens; a larger cache has twice as many, and so on: few graphs, half of a cache unused at most
WARM_UP = 3  # steps before the capture, in which libraries choose their kernels and take their memory

log = logging.getLogger(__name__)


class WriteAhead:
    """Writes answers with one decoder; keeps the graphs and the largest cache that was needed. One answer at a time."""

    def __init__(self, decoder: Decoder, vocabulary: int, *, capture: bool = True) -> None:
        """Without `capture` every step runs eagerly: on a CPU, and to compare."""
        self._decoder, self._vocabulary, self._capture = decoder, vocabulary, capture
        self._loops: dict[tuple[int, bool], _Loop] = {}
        self._cache: KVCache | None = None

    def tokens(
        self, sampler: Sampler, logits: Tensor, rope_delta: int, cache: KVCache, room: int
    ) -> Generator[int, None, None]:
        """The `room` tokens of an answer, the first chosen by the logits (V,) behind the prompt.

        When it is closed, `cache` holds everything before the token that was given last, as if the tokens had been
        written one by one. Until then it is as it was.
        """
        token = sampler.choose(logits)
        yield token
        loop, start, given = self._loop(cache, sampler), cache.length, 0
        loop.begin(cache, token, rope_delta, sampler)
        try:
            while given < room - 1:
                for token in loop.run(sampler.uniforms(min(BLOCK, room - 1 - given))):
                    given += 1
                    yield token
        finally:
            new = slice(start, start + given)
            cache.keys[..., new, :] = loop.cache.keys[..., new, :]
            cache.values[..., new, :] = loop.cache.values[..., new, :]
            cache.advance(given)

    def forget(self) -> None:
        """Gives back the graphs and their cache."""
        self._loops, self._cache = {}, None

    def _loop(self, cache: KVCache, sampler: Sampler) -> _Loop:
        capacity = LEAST_CAPACITY
        while capacity < cache.capacity:
            capacity *= 2
        if self._cache is None or self._cache.capacity < capacity:
            self.forget()  # before the new one: both may not fit
            self._cache = KVCache(cache.config, capacity, device=cache.keys.device, dtype=cache.keys.dtype)
            self._cache.keys.zero_()
            self._cache.values.zero_()
        key = (capacity, sampler.options.temperature == 0)
        if key not in self._loops:
            self._loops[key] = _Loop(
                self._decoder, self._cache.first(capacity), self._vocabulary, key[1], self._capture
            )
        return self._loops[key]


class _Loop:
    """A step on static buffers, captured or not."""

    def __init__(self, decoder: Decoder, cache: KVCache, vocabulary: int, greedy: bool, capture: bool) -> None:
        self._decoder, self.cache = decoder, cache
        device = cache.keys.device

        def whole(size: int) -> Tensor:
            return torch.zeros(size, dtype=torch.int64, device=device)

        self._token, self._place, self._position, self._turn = whole(1), whole(1), whole(1), whole(1)
        self._chosen, self._uniforms = whole(BLOCK), torch.zeros(BLOCK, device=device)
        self._choice = Choice(vocabulary, greedy, device)
        self._step: Callable[[], None] = self._captured() if capture else self._eager

    @torch.inference_mode()
    def begin(self, cache: KVCache, token: int, rope_delta: int, sampler: Sampler) -> None:
        """Gets ready to run `token` behind what stands in `cache`."""
        length = cache.length
        self.cache.keys[..., :length, :] = cache.keys[..., :length, :]
        self.cache.values[..., :length, :] = cache.values[..., :length, :]
        self._token.fill_(token)
        self._place.fill_(length)
        self._position.fill_(length + rope_delta)
        self._choice.follow(sampler, token)

    @torch.inference_mode()
    def run(self, uniforms: Tensor) -> list[int]:
        """As many steps as there are numbers (n,) in 0..1 to choose with, at most BLOCK; their tokens."""
        self._uniforms[: len(uniforms)] = uniforms.to(self._uniforms.device)
        self._turn.zero_()
        for _ in range(len(uniforms)):
            self._step()
        return self._chosen[: len(uniforms)].tolist()  # the only wait for the device

    @torch.inference_mode()
    def _eager(self) -> None:
        logits = self._decoder.static_step(self._token, self._position, self._place, self.cache)
        self._token.copy_(self._choice.choose(logits, self._uniforms.index_select(0, self._turn)))
        self._chosen.index_copy_(0, self._turn, self._token)
        for counter in (self._place, self._position, self._turn):
            counter.add_(1)

    @torch.inference_mode()
    def _captured(self) -> Callable[[], None]:
        """The step as a graph; eager where the device or its driver refuses to capture."""
        try:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    self._turn.zero_()
                    self._eager()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # others may prepare prompts
                self._eager()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning("Answers are written without a CUDA graph, which this device refused: %s", error)
            return self._eager
        return graph.replay
