"""Reading chat completions in every form in which servers send them, odd ones included."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen2vl_demo.engine.remote.completion import MAX_CHARACTERS, Completion
from qwen2vl_demo.engine.remote.event_stream import Event
from qwen2vl_demo.engine.remote.failures import ServerFailure
from qwen2vl_demo.engine.remote.server import Server
from tests.engine.remote.fake_server import (
    ASK,
    DONE,
    GREEDY,
    FakeServer,
    Handler,
    delta,
    event,
    refuse,
    reply,
    result_of,
    stream,
)

SERVER = Server("http://server/v1", "m")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer.running() as fake:
        yield fake


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": "many", "completion_tokens": None},
        {"prompt_tokens": -5, "completion_tokens": 10**30},
        {"prompt_tokens": 1e400, "completion_tokens": float("nan")},
        {"prompt_tokens": [1], "completion_tokens": {"a": 1}},
        {"prompt_tokens": True, "completion_tokens": False},
        {"prompt_tokens": 0, "completion_tokens": 0},
        [1, 2],
        "321",
        17,
        {},
        None,
    ],
)
def test_odd_usage_does_not_spoil_an_answer(server: FakeServer, usage: Any) -> None:
    server.replies = [reply("a", "b", tail=event({"choices": [], "usage": usage}) + DONE)]
    engine = server.engine()
    result = result_of(engine)
    assert (result.text, result.stop_reason, result.remark) == ("ab", "end", "")
    assert (result.prompt_tokens, result.new_tokens) == (len(engine.prepare(ASK, GREEDY)), 2)


def test_usage_in_the_last_chunk_with_a_choice_and_as_floats_counts(server: FakeServer) -> None:
    last = {
        "choices": [{"delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 23.0, "completion_tokens": 7},
    }
    server.replies = [stream(delta("a"), event(last), DONE)]
    result = result_of(server.engine())
    assert (result.prompt_tokens, result.new_tokens) == (23, 7)


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/plain", ""])
def test_a_whole_completion_in_place_of_a_stream_is_an_answer(server: FakeServer, kind: str) -> None:
    """Some servers and proxies do not stream; this is what transformers serve sends without `stream`."""
    choice = {"finish_reason": "length", "index": 0, "message": {"content": "I see no picture", "role": "assistant"}}
    whole = {"object": "chat.completion", "choices": [choice], "usage": {"completion_tokens": 12, "prompt_tokens": 23}}
    server.replies = [refuse(200, whole, kind)]
    result = result_of(server.engine())
    assert (result.text, result.stop_reason) == ("I see no picture", "length")
    assert (result.prompt_tokens, result.new_tokens) == (23, 12)


@pytest.mark.parametrize(
    "part",
    [
        {"delta": {"content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]}},  # Mistral
        {"delta": {"content": ["Hel", "lo"]}},
        {"delta": {"content": {"type": "text", "text": "Hello"}}},
        {"delta": {"content": [{"type": "image"}, {"type": "text", "text": "Hello"}, {"text": None}, 5]}},
        {"message": {"content": "Hello"}},
        {"text": "Hello"},
        {"delta": {"content": "Hello", "refusal": None, "reasoning_content": None, "tool_calls": []}, "error": None},
        {"delta": {"content": "Hello"}, "logprobs": None, "index": 0},
    ],
)
def test_text_is_found_in_every_form(server: FakeServer, part: dict[str, Any]) -> None:
    server.replies = [stream(event({"choices": [part], "error": None}), delta(finish="stop"), DONE)]
    assert result_of(server.engine()).text == "Hello"


def test_events_that_are_no_part_of_the_answer_are_passed_over(server: FakeServer) -> None:
    server.replies = [
        stream(
            event({"choices": [], "prompt_filter_results": []}),  # Azure
            event({"timings": {"predicted_ms": 5}}),  # llama.cpp
            event({"choices": None}),
            b": OPENROUTER PROCESSING\n\n",
            b"event: ping\ndata: {}\n\n",
            event({"choices": [{"index": 1, "delta": {"content": "other"}}]}),
            delta("one"),
            delta(finish="stop"),
            b"data: [DONE] \n\n",
        )
    ]
    assert result_of(server.engine()).text == "one"


@pytest.mark.parametrize("finish", ["length", "max_tokens"])
def test_every_word_for_an_answer_that_was_cut_is_known(server: FakeServer, finish: str) -> None:
    server.replies = [reply("a", finish=finish)]
    assert result_of(server.engine()).stop_reason == "length"


def test_a_stream_that_is_cut_off_after_its_last_line_is_whole(server: FakeServer) -> None:
    server.replies = [stream(delta("a"), delta(finish="stop"), b"data: [DONE]")]
    assert result_of(server.engine()).text == "a"


@pytest.mark.parametrize("size", [1, 1000, 1_000_000])
def test_an_answer_of_a_million_characters_is_cut_and_the_connection_closed(server: FakeServer, size: int) -> None:
    """In letters (fewer of them, as each is an event), in lines and in one piece."""
    pieces = max(1, min(1_000_000 // size, 5_000))

    def endless(handler: Handler) -> None:
        handler.begin()
        try:
            for _ in range(pieces):
                handler.put(delta("x" * size))
            handler.put(delta(finish="stop") + DONE)
            handler.finish_stream()
        except OSError:
            handler.script.left.set()
        handler.close_connection = True

    server.replies = [endless]
    result = result_of(server.engine())
    expected = min(MAX_CHARACTERS, size * pieces)
    assert len(result.text) == expected
    assert result.stop_reason == ("length" if size * pieces > MAX_CHARACTERS else "end")


def test_reading_is_linear_in_the_number_of_pieces() -> None:
    def seconds(pieces: int) -> float:
        answer, began = Completion(0.0), time.process_time()
        for _ in range(pieces):
            answer.read(Event('{"choices":[{"delta":{"content":"x"}}]}'), SERVER)
        assert len(answer.text) == pieces
        return time.process_time() - began

    little = min(seconds(1000) for _ in range(3))
    assert seconds(16_000) < 80 * little  # quadratic work would take 256 times as long


KEYS = (
    *("choices", "delta", "content", "error", "message", "usage", "finish_reason", "index", "text", "code"),
    *("prompt_tokens", "refusal", "type", "object", "detail"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=50)
@given(st.lists(JSON, max_size=4), st.sampled_from(KEYS))
def test_whatever_json_comes_it_is_text_or_a_failure(records: list[Any], name: str) -> None:
    answer = Completion(0.0)
    try:
        for record in records:
            text = answer.read(Event(json.dumps(record), name), SERVER)
            assert isinstance(text, str)
            text.encode()
        answer.ended(SERVER)
        assert answer.result().text == answer.text
    except ServerFailure as failure:
        assert str(failure).endswith(".") and "server/v1" not in str(failure)


@given(st.text(max_size=60))
def test_whatever_text_comes_it_is_text_or_a_failure(data: str) -> None:
    try:
        Completion(0.0).read(Event(data), SERVER).encode()
    except ServerFailure as failure:
        failure.for_operator.encode("utf-8", "replace")
