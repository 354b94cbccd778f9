"""Answers on a GPU are those of the CPU, token for token, in float32: prompts of every kind, sampling, stops."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from qwen2vl_demo.bench import models
from qwen2vl_demo.engine import generate
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Video
from tests.gpu.conftest import Sides, answer, ask, must_be_captured, same_on_all

RULES: dict[str, dict[str, Any]] = {
    "warm": {"temperature": 1.0, "seed": 3},
    "top-k": {"temperature": 1.5, "top_k": 5, "seed": 4},
    "top-p": {"temperature": 1.0, "top_p": 0.7, "seed": 5},
    "penalty": {"repetition_penalty": 1.4},
    "all": {"temperature": 0.8, "top_p": 0.9, "top_k": 40, "repetition_penalty": 1.2, "seed": 6},
}


def test_a_picture(sides: Sides) -> None:
    ids, _ = same_on_all(sides, ask(Image(models.picture(1, (112, 140)))), GenerationOptions(max_new_tokens=64))
    assert len(set(ids)) > 8, "the tokens say nothing"
    must_be_captured(sides.graph)


def test_three_turns(sides: Sides) -> None:
    """Keys and values that the graph wrote are what the next turn reads, behind the lower-right mask."""
    chat, reused = ask(Image(models.picture(2, (168, 112)))), []
    for _ in range(3):
        _, result = same_on_all(sides, chat, GenerationOptions(max_new_tokens=24))
        reused.append(result.reused_tokens)
        chat = [*chat, Message("assistant", result.text), Message("user", "And how many are red?")]
    assert reused[2] > reused[1] > reused[0]


def test_a_prompt_in_many_chunks(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "PREFILL_CHUNK", 48)
    same_on_all(sides, ask(Image(models.picture(3, (280, 196)))), GenerationOptions(max_new_tokens=16))


def test_a_long_context(sides: Sides) -> None:
    """Some 9,000 tokens on a GPU: several true chunks, and a graph of a larger capacity."""
    repeats = 1500 if sides.graph.model.device.type == "cuda" else 350
    options = GenerationOptions(max_new_tokens=12)
    same_on_all(sides, [Message("user", "red star and a blue circle " * repeats)], options)
    must_be_captured(sides.graph)


@pytest.mark.parametrize("what", ["pictures", "clip", "both"])
def test_media(sides: Sides, what: str) -> None:
    pictures = [Image(models.picture(10 + i, (84 + 56 * i, 140))) for i in range(3)]
    frames, film = [models.picture(20 + i, (112, 140)) for i in range(8)], io.BytesIO()
    frames[0].save(film, "WEBP", save_all=True, append_images=frames[1:], duration=250, lossless=True)
    clip = Video(film.getvalue())
    parts = {"pictures": pictures, "clip": [clip], "both": [pictures[0], clip]}[what]
    same_on_all(sides, ask(*parts), GenerationOptions(max_new_tokens=20, media=MediaOptions(fps=4.0)))


@pytest.mark.parametrize("rules", RULES)
def test_sampling(sides: Sides, rules: str) -> None:
    """The same seed twice in the graph, and one by one. On the CPU a sum of probabilities may round differently."""
    messages, options = ask(Image(models.picture(4, (112, 112)))), GenerationOptions(max_new_tokens=32, **RULES[rules])
    first, again = (answer(sides.graph, messages, options)[0] for _ in range(2))
    assert first == again
    assert answer(sides.eager, messages, options)[0] == first
    must_be_captured(sides.graph)


@pytest.mark.parametrize("after", [5, 20])
def test_stop(sides: Sides, after: int) -> None:
    messages, cancel, seen = ask(Image(models.picture(6, (112, 112)))), threading.Event(), 0
    for chunk in sides.graph.stream(messages, GenerationOptions(max_new_tokens=2000), cancel):
        seen += bool(chunk.text)
        if seen == after:
            cancel.set()
        result = chunk.result
    assert result is not None and result.stop_reason == "cancelled" and result.new_tokens < 1000
    same_on_all(sides, messages, GenerationOptions(max_new_tokens=24))


def test_a_stream_that_is_closed(sides: Sides) -> None:
    messages = ask(Image(models.picture(6, (112, 112))))
    stream = sides.graph.stream(messages, GenerationOptions(max_new_tokens=500))
    next(chunk for chunk in stream if chunk.text)
    stream.close()
    same_on_all(sides, messages, GenerationOptions(max_new_tokens=24))


def test_threads(sides: Sides) -> None:
    """As the page does it: each answer in a thread of its own, while others estimate; the graph is captured anew."""
    engine, options = sides.graph, GenerationOptions(max_new_tokens=40)
    questions = [ask(Image(models.picture(30 + i, (112, 84 + 28 * i)))) for i in range(3)]
    alone = [answer(engine, question, options)[0] for question in questions]
    assert engine._graphs is not None
    engine._graphs.clear()
    engine.warm_up()
    stop, trace = threading.Event(), engine.prepare(questions[0], options)

    def estimating() -> None:
        while not stop.is_set():
            engine.estimate(trace, options)
            engine.prepare(questions[1], options)

    beside = threading.Thread(target=estimating)
    beside.start()
    try:
        with ThreadPoolExecutor() as pool:
            together = list(pool.map(lambda question: answer(engine, question, options)[0], questions))
    finally:
        stop.set()
        beside.join()
    assert together == alone
    must_be_captured(engine)


def test_where_a_word_looked(sides: Sides) -> None:
    options, messages = GenerationOptions(max_new_tokens=16), ask(Image(models.picture(9, (112, 112))))
    maps = []
    for engine in (sides.cpu, sides.graph):
        _, result = answer(engine, messages, options)
        seen = engine.word_attention(engine.prompt(messages, options), result.text, 0)
        assert seen is not None
        maps.append(seen.weights)
    assert np.abs(maps[0] - maps[1]).max() < 1e-4
