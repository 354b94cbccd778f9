"""Rows about a device by itself, without a peer: loading, the capture of a step, a large picture, a long context.

Random keys and values stand for a long context: what a step costs depends on their number alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch

from qwen2vl_demo.bench import models
from qwen2vl_demo.bench.answers import dtype_on, first_token, first_turn
from qwen2vl_demo.bench.measure import BenchRow, Series, seconds
from qwen2vl_demo.engine.cuda_graph import CudaGraphDecoder
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.sampling import Sampler
from qwen2vl_demo.memory import format_bytes
from qwen2vl_demo.model.device import synchronize
from qwen2vl_demo.model.kv_cache import KVCache

LARGE = (3024, 4032)  # px: a photograph of 12 megapixels, 15,552 merged tokens
CONTEXT = 15_000  # tokens before a step
STEPS = 64  # of a measurement behind a long context
SMALL = "small"  # the shape of a dry run, which takes a smaller picture and a shorter context


def alone(shape: str, device: torch.device, rounds: int) -> Iterator[BenchRow]:
    """load, capture, picture_large and decode_long."""
    dtype = dtype_on(device)
    given = f"{shape}, {str(dtype).removeprefix('torch.')}"
    model = models.random_model(shape, device, dtype)
    engines: list[LocalEngine] = []

    def load() -> None:
        engines[:] = [models.engine_of(model)]  # joins the matrices of every layer
        synchronize(device)

    loads = Series((seconds(load),))
    yield BenchRow("load", loads, None, None, "s", f"{given}, arranging the weights", _memory(device))
    (engine,) = engines
    yield _capture(engine, given)
    size = (448, 448) if shape == SMALL else LARGE
    large = [first_token(engine, first_turn(models.picture(seed, size))) for seed in range(rounds + 1)]
    about, check = f"{given}, {size[1]}x{size[0]}, to the first token", f"the first took {large[0]:.2f} s"
    yield BenchRow("picture_large", Series(tuple(large[1:])), None, None, "s", about, check)
    context = 1000 if shape == SMALL else CONTEXT
    rates = [_rate(engine, context) for _ in range(rounds + 1)]
    about = f"{given}, behind {context:,} tokens"
    yield BenchRow("decode_long", Series(tuple(rates[1:])), None, None, "tokens/s", about, "random keys and values")


def _capture(engine: LocalEngine, given: str) -> BenchRow:
    """Seconds of the first capture of a step; on a CPU of its eager twin, which is not captured."""
    device = engine.model.device
    graphs = CudaGraphDecoder(engine.decoder, engine.config.text.vocab_size, capture=device.type == "cuda")
    found: list[float] = []
    took = seconds(lambda: found.append(graphs.warm_up(device, engine.model.dtype)))
    check = f"then {1 / found[0]:.0f} steps/s; {'captured' if graphs.captured else 'not captured'}"
    return BenchRow("capture", Series((took,)), None, None, "s", f"{given}, the step as a graph", check)


def _rate(engine: LocalEngine, context: int) -> float:
    """Tokens a second behind a context, without the first of them, which may capture a graph."""
    text, device = engine.config.text, engine.model.device
    cache = KVCache(text, context + STEPS + 1, device=device, dtype=engine.model.dtype)
    cache.keys.normal_(0, 0.5)
    cache.values.normal_(0, 0.5)
    cache.length = context
    options = GenerationOptions(max_new_tokens=STEPS)
    sampler = Sampler(options, torch.arange(100, device=device))
    tokens = engine.tokens(sampler, torch.randn(text.vocab_size, device=device), 0, cache, STEPS)
    for _ in range(2):
        next(tokens)
    rate = (STEPS - 2) / seconds(lambda: list(islice(tokens, STEPS - 2)))
    tokens.close()
    return rate


def _memory(device: torch.device) -> str:
    if device.type != "cuda":
        return "not measured on a CPU"
    held, most = torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
    unused = torch.cuda.memory_reserved(device) - held
    return f"{format_bytes(held)} held, {format_bytes(unused)} kept unused, {format_bytes(most)} at the peak"
