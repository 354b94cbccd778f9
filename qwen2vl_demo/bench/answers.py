"""Rows about answering: time to the first token in two turns, tokens per second in 16, 8 and 4 bits, host overhead.

The peer is transformers on the same tensors. It preprocesses the picture with its own processor, and prefills the whole
prompt again in the second turn, as it does unless the caller keeps a cache.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from qwen2vl_demo.bench import models
from qwen2vl_demo.bench.measure import BenchRow, Series, alternate, seconds
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.model.quantised import quantised_copy
from qwen2vl_demo.processing.messages import Image, Message, Text

QUESTION = "What is in this picture? Name the shapes and their colours."
FOLLOW_UP = "How many of them are red?"
SIDE = 448  # px: 32 x 32 patches, 256 merged tokens
COMPARED_TOKENS = 8  # greedy tokens that must be equal
COPY_BYTES = 1 << 30  # bytes read and written by the copy that measures the memory bandwidth
# Times the rate of transformers in bfloat16. On a GPU int8 has no kernel: it saves memory there and costs time.
DECODE_GOALS = {
    "cpu": {"bf16": 1.05, "int8": 1.7, "int4": 1.7},
    "cuda": {"bf16": 8.0, "int8": 1.0, "int4": 8.0},
}
ANSWER_TOKENS = 24  # length of the answers whose rate is measured


def first_turn(image: Any, system: str = "") -> list[Message]:
    start = [Message("system", system)] if system else []
    return [*start, Message("user", [Image(image), Text(QUESTION)])]


def second_turn(image: Any, system: str = "") -> list[Message]:
    answer = Message("assistant", "There is a red circle and a blue square.")
    return [*first_turn(image, system), answer, Message("user", [Text(FOLLOW_UP)])]


def dtype_on(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "cpu" else torch.bfloat16


def turns(shape: str, device: torch.device, rounds: int, with_peer: bool = True) -> Iterator[BenchRow]:
    """turn1_448, turn2_vision_cache and turn2_prefix, in float32 on a CPU and in bfloat16 elsewhere."""
    dtype = dtype_on(device)
    given = f"{shape}, {str(dtype).removeprefix('torch.')}"
    check = "not compared"
    if with_peer and dtype != torch.float32:  # which rounds differently on each side
        check = _same_as_transformers("small", device)
    model = models.random_model(shape, device, dtype)
    engine, peer = models.engine_of(model), models.transformers_of(model) if with_peer else None
    opener: Any = _picture_processor() if with_peer else None

    def theirs(inputs: dict[str, Any], image: Any) -> tuple[int, ...]:
        pixels = opener(images=image, return_tensors="pt")["pixel_values"]
        return models.peer_answer(peer, {**inputs, "pixel_values": pixels}, 1).tokens

    first = models.picture(0, (SIDE, SIDE))
    if opener is not None and dtype == torch.float32:
        inputs = models.peer_inputs(engine, first_turn(first))
        inputs["pixel_values"] = opener(images=first, return_tensors="pt")["pixel_values"]
        expected = models.peer_answer(peer, inputs, COMPARED_TOKENS).tokens
        check = models.same_tokens(models.our_tokens(engine, first_turn(first), COMPARED_TOKENS), expected, given)
    # The ids of the peer are prepared in advance, from this one picture, and are not part of its time.
    prepared = [models.peer_inputs(engine, make(first)) for make in (first_turn, second_turn)]
    times: dict[str, list[float]] = {name: [] for name in ("cold", "prefix", "vision", "peer1", "peer2")}
    warm_up = device.type != "cpu"  # a GPU loads and selects kernels in the first round, which is not counted
    for turn in range(1, rounds + 1 + warm_up):
        image = models.picture(turn, (SIDE, SIDE))  # a new one each round, so that nothing of it is cached
        times["cold"].append(first_token(engine, first_turn(image)))
        times["prefix"].append(first_token(engine, second_turn(image)))
        # Another system prompt invalidates the KV cache, but not the cached merged tokens.
        times["vision"].append(first_token(engine, second_turn(image, f"Answer in {turn} words.")))
        if peer is not None:
            times["peer1"].append(seconds(partial(theirs, prepared[0], image)))
            times["peer2"].append(seconds(partial(theirs, prepared[1], image)))
    series = {name: Series(tuple(values[warm_up:])) for name, values in times.items()}
    for row, ours, other, goal, how in (
        ("turn1_448", "cold", "peer1", 1.5, ""),
        ("turn2_vision_cache", "vision", "peer2", 4.0, ", all again"),
        ("turn2_prefix", "prefix", "peer2", 15.0, ", all again"),
    ):
        if peer is None:
            yield BenchRow(row, series[ours], None, None, "s", given, check)
        else:
            yield BenchRow(row, series[ours], series[other], goal, "s", f"transformers, {given}{how}", check)


def decode(shape: str, device: torch.device, rounds: int, with_peer: bool = True) -> Iterator[BenchRow]:
    """decode_bf16, decode_int8 and decode_int4, all against transformers in bfloat16."""
    compared = _same_as_transformers("small", device) if with_peer else "not compared"
    model = models.random_model(shape, device, torch.bfloat16)
    plain = models.engine_of(model)
    engines = {"bf16": plain}
    for kind in ("int8", "int4"):
        engines[kind] = models.engine_of(quantised_copy(model, kind))
    messages = [Message("user", "Name the shapes and their colours.")]
    sides: list[Callable[[], float]] = [
        partial(models.our_rate, engine, messages, ANSWER_TOKENS) for engine in engines.values()
    ]
    if with_peer:
        peer, inputs = models.transformers_of(model), models.peer_inputs(plain, messages)
        sides.append(lambda: models.peer_answer(peer, inputs, ANSWER_TOKENS).rate)
    rates = _rates(sides, rounds)
    for (kind, engine), rate in zip(engines.items(), rates, strict=False):  # the last may be the peer's
        goal = DECODE_GOALS[device.type][kind]
        check = f"{compared}; {_share_of_roofline(engine, rate)}"
        yield _against_transformers(f"decode_{kind}", rate, rates[len(engines) :], goal, f"{shape}, bfloat16", check)


def host(device: torch.device, rounds: int, with_peer: bool = True) -> Iterator[BenchRow]:
    """host_overhead: 28 layers with hardly any arithmetic."""
    model = models.random_model("host", device, torch.float32)
    engine, given, tokens = models.engine_of(model), "28 tiny layers, float32", 4 * ANSWER_TOKENS
    messages = [Message("user", "Name the shapes and their colours.")]
    sides: list[Callable[[], float]] = [lambda: models.our_rate(engine, messages, tokens)]
    check = "not compared"
    if with_peer:
        peer, inputs = models.transformers_of(model), models.peer_inputs(engine, messages)
        expected = models.peer_answer(peer, inputs, COMPARED_TOKENS).tokens
        check = models.same_tokens(models.our_tokens(engine, messages, COMPARED_TOKENS), expected, given)
        sides.append(lambda: models.peer_answer(peer, inputs, tokens).rate)
    ours, *theirs = _rates(sides, rounds)
    goal = 2.2 if device.type == "cpu" else 20.0
    yield _against_transformers("host_overhead", ours, theirs, goal, given, check)


def _against_transformers(
    row: str, ours: Series, theirs: list[Series], goal: float, given: str, check: str
) -> BenchRow:
    """A row of tokens per second; without `theirs` there is no goal."""
    if not theirs:
        return BenchRow(row, ours, None, None, "tokens/s", given, check)
    return BenchRow(row, ours, theirs[0], goal, "tokens/s", f"transformers, {given}", check)


def _share_of_roofline(engine: LocalEngine, rate: Series) -> str:
    """The share of the memory bandwidth that decoding reaches: each step reads all weights of the decoder."""
    reached = engine.decoder.nbytes * rate.median
    device = engine.model.device
    block = torch.empty(COPY_BYTES // 2, dtype=torch.int8, device=device)
    into = torch.empty_like(block)

    def copy() -> None:
        into.copy_(block)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    copies = alternate(5, copy)[0]
    return (
        f"{reached / 1e9:.3g} GB/s of weights, {reached * min(copies.values) / COPY_BYTES:.0%} of what a copy reaches"
    )


def _rates(sides: list[Callable[[], float]], rounds: int) -> list[Series]:
    """Tokens per second of each side, measured alternately after one warm-up run each."""
    for side in sides:
        side()
    columns = zip(*([side() for side in sides] for _ in range(rounds)), strict=True)
    gc.collect()
    return [Series(tuple(column)) for column in columns]


def first_token(engine: LocalEngine, messages: list[Message]) -> float:
    """Seconds from the messages to the first token, including preprocessing."""
    return seconds(lambda: models.our_answer(engine, messages, 1))


def _same_as_transformers(shape: str, device: torch.device) -> str:
    """Compares tokens in float32, where they must be equal, for rows that are measured in other dtypes."""
    model = models.random_model(shape, device, torch.float32)
    engine, peer = models.engine_of(model), models.transformers_of(model)
    messages = [Message("user", "Name the shapes and their colours.")]
    expected = models.peer_answer(peer, models.peer_inputs(engine, messages), 2 * COMPARED_TOKENS).tokens
    return models.same_tokens(models.our_tokens(engine, messages, 2 * COMPARED_TOKENS), expected, f"{shape}, float32")


def _picture_processor() -> Any:
    from qwen2vl_demo.bench.media import peer_processors

    return next(iter(peer_processors().values()))
