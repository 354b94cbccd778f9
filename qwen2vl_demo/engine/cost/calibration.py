"""How fast this device is at this model: a short calibration with the model's own layers, in its dtype and shapes.

Each measurement grows until it is long enough to be trusted, and the whole keeps to a budget, so that it fits between
two requests. Layers are used in turn, so that weights come from memory as they do in earnest and not from a cache.
Knows the model and a clock; knows no prompt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from qwen2vl_demo.engine.cost import flops as cost
from qwen2vl_demo.model.decoder import Decoder
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.qwen2vl import Qwen2VL

BUDGET = 0.12  # s for the whole calibration
ENOUGH = 0.006  # s: a measurement this long needs no larger one
LONG = 0.02  # s: a run this long is not made again
FEW = 64  # tokens: with fewer, reading a layer's weights takes longer than computing with them
STEPS = 12  # tokens written while that is timed, at most
SEGMENT = 64  # patches that see each other while a ViT block is timed: few, so that attention does not count


@dataclass(frozen=True)
class Curve:
    """Seconds over work, through measured points: straight between them, level before the first, straight on behind."""

    points: tuple[tuple[float, float], ...]  # (work, seconds), work ascending

    def at(self, work: float) -> float:
        x, y = zip(*self.points, strict=True)
        if work <= x[-1]:
            return float(np.interp(work, x, y))
        even = y[-1] / x[-1]  # s a unit of work, everything included
        slope = (y[-1] - y[-2]) / (x[-1] - x[-2]) if len(x) > 1 else even
        return y[-1] + min(max(slope, 0.5 * even), 1.5 * even) * (work - x[-1])  # noise must not be blown up


@dataclass(frozen=True)
class Speed:
    """What the calibration found."""

    block: Curve  # a ViT block, over its operations with weights
    layer: Curve  # a layer of the language model reading several tokens, over its operations with weights
    attention: float  # s an operation of attention
    head: float  # s of the output layer behind a prompt
    token: float  # s of a step that writes one token behind few others
    byte: float  # s to read a byte of keys and values
    took: float  # s that it took to find this out


@torch.inference_mode()
def calibrate(model: Qwen2VL, decoder: Decoder, budget: float = BUDGET) -> Speed:
    """Times the parts of a model, and of what writes with it, on their device. Takes about `budget` seconds; more only
    where one layer alone does."""
    began = time.perf_counter()
    vision, text = model.config.vision, model.config.text
    clock = _Clock(model.device)

    def ones(*shape: int) -> Tensor:
        return torch.ones(shape, device=model.device, dtype=model.dtype)

    def still(*shape: int) -> tuple[Tensor, Tensor]:
        """cos and sin of no turn at all; turning costs the same by any angle."""
        return torch.ones(shape, device=model.device), torch.zeros(shape, device=model.device)

    def block(patches: int) -> Callable[[int], object]:
        x, (cos, sin) = ones(patches, vision.embed_dim), still(patches, 1, 1, vision.head_dim // 2)
        runs = [(patches // SEGMENT, SEGMENT)]
        blocks = model.visual.blocks
        return lambda turn: blocks[turn % len(blocks)](x, cos, sin, runs)

    def layer(tokens: int) -> Callable[[int], object]:
        x, (cos, sin) = ones(1, tokens, text.hidden_size), still(1, 1, tokens, text.head_dim // 2)
        layers = model.model.layers
        return lambda turn: layers[turn % len(layers)](x, cos, sin, None, None)

    def attention(patches: int) -> Callable[[int], object]:
        q, k, v = (ones(1, vision.num_heads, patches, vision.head_dim) for _ in range(3))
        return lambda turn: F.scaled_dot_product_attention(q, k, v)

    hidden = ones(1, text.hidden_size)
    head = clock.shortest(lambda turn: model.logits(hidden))
    token = _token(decoder, hidden, head, clock, began + 0.3 * budget)
    seen = clock.ladder(attention, [256, 1024, 4096], began + 0.4 * budget)
    blocks = clock.ladder(block, [SEGMENT, 4 * SEGMENT, 16 * SEGMENT, 64 * SEGMENT], began + 0.7 * budget)
    layers = clock.ladder(layer, [1, FEW, 256, 1024, 4096], began + budget, least=FEW)
    per_attention = seen[-1][1] / (4 * vision.embed_dim * seen[-1][0] ** 2)
    read = text.vocab_size * text.hidden_size * hidden.element_size()

    def without_attention(tokens: int, seconds: float) -> tuple[float, float]:
        flops = cost.layer_flops(text, tokens)
        return flops.linear, max(seconds - flops.attention * per_attention, seconds / 2)

    return Speed(
        block=Curve(tuple((cost.block_flops(vision, [SEGMENT] * (n // SEGMENT)).linear, s) for n, s in blocks)),
        layer=Curve(tuple(without_attention(n, s) for n, s in layers)),
        attention=per_attention,
        head=head,
        token=token,
        byte=head / read,
        took=time.perf_counter() - began,
    )


class _Clock:
    """Times functions of a turn number; waits for the device before it looks."""

    def __init__(self, device: torch.device) -> None:
        kind = device.type
        self._wait: Callable[[], None] = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(
            kind, lambda: None
        )

    def once(self, run: Callable[[int], object], turn: int) -> float:
        self._wait()
        began = time.perf_counter()
        run(turn)
        self._wait()
        return time.perf_counter() - began

    def shortest(self, run: Callable[[int], object], repeats: int = 2) -> float:
        """The shortest of some runs; a first one that is long needs no other."""
        times = [self.once(run, 0)]
        while len(times) <= repeats and times[0] < LONG:
            times.append(self.once(run, len(times)))
        return min(times)

    def usual(self, run: Callable[[int], object], repeats: int, deadline: float) -> float:
        """The average over turns behind a first one, as far as the deadline allows, without the longest third."""
        self.once(run, 0)
        times: list[float] = []
        while len(times) < repeats and (not times or time.perf_counter() < deadline):
            times.append(self.once(run, len(times) + 1))
        kept = sorted(times)[: max(1, 2 * len(times) // 3)]
        return sum(kept) / len(kept)

    def ladder(
        self, make: Callable[[int], Callable[[int], object]], sizes: Sequence[int], deadline: float, least: int = 0
    ) -> list[tuple[int, float]]:
        """(size, seconds) of ever larger runs, until one is long enough or time is up; `least` is run in any case."""
        found: list[tuple[int, float]] = []
        for size in sizes:
            found.append((size, self.shortest(make(size))))
            if size >= least and (found[-1][1] > ENOUGH or time.perf_counter() > deadline):
                break
        return found


def _token(decoder: Decoder, hidden: Tensor, head: float, clock: _Clock, deadline: float) -> float:
    """Seconds of a step: measured, or where that alone would take too long, at the rate of the output layer (`head`
    seconds in the model's own weights)."""
    if decoder.kind != "same":
        head = clock.shortest(lambda turn: decoder.head(hidden))
    by_rate = head / decoder.head.nbytes * decoder.nbytes
    if by_rate > LONG:
        return by_rate  # large matrices are bound by reading them, all alike
    cache = KVCache(decoder.config, STEPS + 1, device=hidden.device, dtype=hidden.dtype)
    return clock.usual(lambda turn: decoder.step(0, turn, cache), STEPS, deadline)
