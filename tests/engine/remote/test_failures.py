"""How failures of a server read: for visitors without addresses, flags and paths, for operators with them.

The bodies are those of vLLM 0.32, transformers serve 5.23, llama.cpp, LM Studio, Ollama, SGLang and Gemini, as these
servers or their bug reports show them.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.engine.remote.event_stream import MAX_BYTES
from qwen2vl_demo.engine.remote.failures import ServerFailure, unreachable
from qwen2vl_demo.engine.remote.reasons import reason_of
from qwen2vl_demo.engine.remote.refusals import refusal
from qwen2vl_demo.engine.remote.server import Server
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import format_bytes
from qwen2vl_demo.processing.messages import Image, Message, Text
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
    silent,
    stream,
    text_of,
)

PICTURE = [Message("user", [Image(PIL.Image.fromarray(np.zeros((56, 56, 3), np.uint8))), Text("?")])]
SENT = {
    "text": {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
    "picture": {"messages": [{"role": "user", "content": [{"type": "image_url"}, {"type": "text"}]}]},
    "clip": {"messages": [{"role": "user", "content": [{"type": "video_url"}, {"type": "text"}]}]},
}


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer.running() as fake:
        yield fake


def failure_of(engine: RemoteEngine, messages: list[Message] = ASK) -> ServerFailure:
    with pytest.raises(ServerFailure) as caught:
        list(engine.stream(messages, GREEDY))
    return caught.value


def check_sentences(failure: ServerFailure, server: FakeServer) -> None:
    """The visitor's holds nothing that only an operator may know or can use; the operator's has the address."""
    visitor = str(failure)
    assert not any(word in visitor for word in ("--", "127.0.0.1", "http", str(server.http.server_port), "/v1"))
    assert server.url in failure.for_operator
    for sentence in (visitor, failure.for_operator):
        assert "\n" not in sentence and sentence.endswith(".") and len(sentence) < 1000


@pytest.mark.parametrize(
    ("status", "answer", "visitor", "operator"),
    [
        (401, {"error": "Unauthorized"}, "does not let this page in", ["--engine-key", "401"]),
        (403, "", "does not let this page in", ["--engine-key", "403"]),
        (404, {"error": {"message": "The model `x` does not exist."}}, "does not have the model", ["--engine-model"]),
        (404, {"error": {"message": 'model "x" not found, try pulling it first'}}, "does not have", ["'qwen'"]),
        (400, {"detail": "Server is pinned to '/data/a'; requested 'b' model."}, "does not have", ["--engine-model"]),
        (404, {"detail": "Not Found"}, "does not understand this page", ["--engine-url", "/v1"]),
        (404, "<html>nginx</html>", "does not understand this page", ["--engine-url"]),
        (
            400,
            {"message": "This model's maximum context length is 4096 tokens."},
            "too long for the model's server: This model's maximum context length is 4096 tokens. Begin",
            ["4096", "max_pixels", "docs/servers.md"],
        ),
        (
            400,
            {"error": {"message": "max_tokens=8000 cannot be greater than max_model_len=4096."}},
            "a shorter answer",
            ["max_model_len=4096"],
        ),
        (
            400,
            {
                "error": {
                    "code": 400,
                    "message": "request (4476 tokens) exceeds the available context size (4096 tokens)",
                    "type": "exceed_context_size_error",
                }
            },
            "(4476 tokens) exceeds",
            ["longer context"],
        ),
        (
            400,
            {"error": "The input (5000 tokens) is longer than the model's context length (4096 tokens)."},
            "Begin a new chat",
            ["5000"],
        ),
        (400, {"object": "error", "message": "top_p must be in (0, 1]"}, "refuses this: top_p must be", ["400"]),
        (
            422,
            {"detail": [{"loc": ["body", "top_p"], "msg": "field required", "input": {"messages": "secret"}}]},
            "body.top_p: field required",
            ["field required"],
        ),
        (413, "Payload Too Large", "larger than the model's server takes", ["413"]),
        (429, {"error": {"message": "Rate limit"}}, "busy. Ask again in a moment", ["Rate limit"]),
        (429, {"error": {"code": "insufficient_quota"}}, "no more questions", ["quota"]),
        (500, {"error": {"message": "CUDA out of\nmemory"}}, "ran out of memory. Lower", ["500", "CUDA out of memory"]),
        (500, "Internal Server Error", "failed: Internal Server Error", ["500", "log"]),
        (500, "", "failed. Ask again", ["500", "log"]),
        (400, [{"error": {"code": 400, "message": "API key not valid", "status": "X"}}], "API key not valid", ["400"]),
        (500, {"error": "read /srv/models/q/x.bin: at http://10.0.0.7:9/a"}, "failed: read …: at …", ["/srv/models"]),
    ],
)
def test_a_refusal_says_to_each_what_they_can_do(
    server: FakeServer, status: int, answer: Any, visitor: str, operator: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    server.replies = [refuse(status, answer)]
    failure = failure_of(server.engine())
    assert visitor in str(failure)
    assert all(word in failure.for_operator for word in operator), failure.for_operator
    check_sentences(failure, server)
    assert failure.for_operator in [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("sent", "status", "message", "cause", "advice"),
    [
        ("picture", 400, "At most 2 image(s) may be provided in one prompt.", "too many", "at most 2 pictures"),
        ("picture", 400, "At most 1 image(s) may be provided in one prompt.", "too many", "at most 1 picture "),
        ("clip", 400, "At most 0 video(s) may be provided in one prompt.", "no video", "takes no clips. Ask without"),
        ("picture", 400, "At most 0 image(s) may be provided in one prompt.", "no pictures", "takes no pictures"),
        ("clip", 400, "unsupported content[].type", "no video", "does not take video"),
        ("clip", 400, "'url' field must be a base64 encoded image.", "no video", "does not take video"),
        ("clip", 400, "invalid message format", "no video", "Send pictures of the clip"),
        ("picture", 500, "image input is not supported - hint: provide the mmproj", "no pictures", "Ask without"),
        ("picture", 400, "Model does not support images. Please use a model that does.", "no pictures", "no pictures"),
        ("picture", 500, 'Unsupported content part type: "image_url"; messages = [...]', "no pictures", "no pictures"),
        ("text", 400, "Model does not support images in video_url", "refused", "in another way"),
        (
            "picture",
            400,
            "The image item with length 16384, which exceeds the pre-allocated encoder cache size 8192.",
            "too large",
            "Lower the maximum of tokens per picture",
        ),
    ],
)
def test_advice_fits_the_cause(sent: str, status: int, message: str, cause: str, advice: str) -> None:
    failure = refusal(Server("http://h/v1", "m"), status, {"error": {"message": message}}, SENT[sent])
    assert isinstance(failure, ServerFailure) and failure.cause == cause and advice in str(failure)


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"message": "sorry"}},
        {"error": "sorry."},
        {"message": "sorry", "object": "error"},
        {"detail": "sorry"},
        {"detail": [{"msg": "sorry"}]},
        [{"error": {"code": 400, "message": "sorry"}}],
        {"error": {"error": {"message": "sorry"}}},
        {"errors": [{"message": "sorry"}]},
        "sorry\n",
    ],
)
def test_the_reason_is_found_wherever_it_stands(answer: Any) -> None:
    assert reason_of(answer, Server("http://h/v1", "m")) == "sorry"


@pytest.mark.parametrize(
    "answer", [None, 5, [], {}, {"error": None}, {"error": []}, "<html>x</html>", [[[[[[[["a"]]]]]]]]]
)
def test_what_holds_no_reason_has_none(answer: Any) -> None:
    assert reason_of(answer, Server("http://h/v1", "m")) == ""


def test_the_key_is_in_no_sentence(server: FakeServer) -> None:
    server.replies = [refuse(400, {"error": f"Incorrect key sk-sesame provided {'x' * 5000}"})]
    failure = failure_of(server.engine(key="sk-sesame"))
    assert "sesame" not in str(failure) + failure.for_operator and len(failure.for_operator) < 700


# Answers that are none


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"error": {"message": "engine died"}}, "application/json", "engine died"),  # LM Studio, status 200
        ([{"error": {"code": 503, "message": "engine died"}}], "application/json", "does not answer"),  # Gemini
        ({"error": "engine died"}, "text/plain", "engine died"),
        ('{"error": "engine died"}', "text/event-stream", "engine died"),
        ({"choices": []}, "application/json", "broke"),
        ({"object": "chat.completion", "choices": [{"message": {"content": ""}}]}, "application/json", "broke"),
        ("<html>Welcome</html>", "text/html", "does not understand"),
        ("", "text/event-stream", "does not understand"),
        ("hello", "text/plain", "does not understand"),
        ("[" * 100_000, "application/json", "does not understand"),
        ('{"a":' * 100_000, "application/json", "does not understand"),
    ],
)
def test_a_body_that_is_no_answer_is_a_failure(server: FakeServer, answer: Any, kind: str, words: str) -> None:
    server.replies = [refuse(200, answer, kind)]
    failure = failure_of(server.engine(timeout=0.5))
    assert words in str(failure)
    check_sentences(failure, server)


@pytest.mark.parametrize(
    "content",
    [
        event({"error": {"message": "engine died", "code": 500}}),
        event({"error": {"message": "engine died", "code": "oh"}}),
        event({"error": "engine died"}),
        b'event: error\ndata: {"message": "engine died"}\n\n',  # no `error` in it
        b"event: error\ndata: engine died\n\n",
        event({"message": "engine died", "type": "server_error"}),
        event({"object": "error", "message": "engine died"}),
        event({"type": "error", "detail": "engine died"}),
        b'data: {"error": "engine died "badly""}\n\n',  # transformers serve does not escape its reason
        event({"choices": [{"delta": {"content": ""}, "error": {"message": "engine died"}, "finish_reason": "error"}]}),
        event({"choices": [{"delta": {}, "finish_reason": {"type": "abort", "message": "engine died"}}]}),
        b'data: [{"error": {"message": "engine died"}}]\n\n',
    ],
)
@pytest.mark.parametrize("before", [b"", delta("so far")])
def test_an_error_in_a_stream_is_the_servers_reason_and_keeps_the_text_before_it(
    server: FakeServer, content: bytes, before: bytes
) -> None:
    server.replies = [stream(*filter(None, [before]), content, DONE)]
    seen = []
    with pytest.raises(ServerFailure) as caught:
        for chunk in server.engine().stream(ASK, GREEDY):
            seen.append(chunk)
    assert text_of(seen) == ("so far" if before else "")
    if b"abort" not in content:
        assert "engine died" in str(caught.value)
    check_sentences(caught.value, server)


@pytest.mark.parametrize(
    "data",
    [
        b"not json",
        b"[1]",
        b"5",
        b"null",
        b'{"choices": 5}',
        b'{"choices": [5]}',
        b'{"choices": [{"delta": 5}]}',
        b'{"choices": [{"delta": {"content": 5}}]}',
        b'{"choices":' * 50_000,
    ],
)
def test_events_that_are_no_chat_completion_are_a_wrong_address(server: FakeServer, data: bytes) -> None:
    server.replies = [stream(b"data: " + data + b"\n\n")]
    failure = failure_of(server.engine())
    assert failure.cause == "address" and "--engine-url" in failure.for_operator
    check_sentences(failure, server)


def part(**delta: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": delta}]})


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([part(refusal="I will "), part(refusal="not.")], "declines (I will not)"),
        ([delta(finish="content_filter")], "its filter held the answer back"),
        ([part(reasoning_content="Hm"), delta(finish="length")], "went into thinking"),
        ([delta(finish="tool_calls")], "'tool_calls'"),
        ([], "without reason"),
    ],
)
def test_an_answer_without_a_word_is_no_success(server: FakeServer, pieces: list[bytes], words: str) -> None:
    server.replies = [stream(*pieces, DONE)]
    failure = failure_of(server.engine())
    assert failure.cause == "no answer" and words in str(failure)
    check_sentences(failure, server)


def test_a_model_that_ends_at_once_gives_an_empty_answer(server: FakeServer) -> None:
    server.replies = [stream(delta(finish="stop"), DONE)]
    assert (result_of(server.engine()).text, result_of(server.engine()).stop_reason) == ("", "end")


# The connection


@pytest.mark.parametrize("clean", [True, False])
def test_a_cut_connection_is_told_from_an_answer(server: FakeServer, clean: bool) -> None:
    """Cut cleanly (the last HTTP chunk came, the reason to stop did not) or in the middle of the body."""

    def cut(handler: Handler) -> None:
        handler.begin()
        handler.put(delta("Hel"))
        if clean:
            handler.finish_stream()
        else:
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True

    server.replies = [cut]
    seen = []
    with pytest.raises(ServerFailure, match="broke before the answer was finished") as caught:
        for chunk in server.engine().stream(ASK, GREEDY):
            seen.append(chunk)
    assert text_of(seen) == "Hel"
    check_sentences(caught.value, server)


def test_silence_ends_after_the_allowed_time_and_names_its_flag(server: FakeServer) -> None:
    server.replies = [silent]
    failure = failure_of(server.engine(timeout=0.3))
    assert "said nothing for 0.3 seconds" in str(failure) and "--engine-timeout" in failure.for_operator


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("target", ["/v1/chat/completions/", "{url}/elsewhere"])
def test_a_question_follows_a_redirect_on_the_same_host(server: FakeServer, status: int, target: str) -> None:
    server.replies = [redirect(status, target.format(url=server.url)), reply("there")]
    assert result_of(server.engine(key="sesame")).text == "there"
    assert server.bodies[0] == server.bodies[1] and server.keys[-1] == "Bearer sesame"


@pytest.mark.parametrize(
    ("status", "target"),
    [(307, "http://elsewhere.example/v1"), (308, "file:///etc/passwd"), (307, ""), (302, "/v1/x")],
)
def test_a_redirect_elsewhere_is_one_sentence(server: FakeServer, status: int, target: str) -> None:
    """A conversation never goes to another host than the one that was named, nor as a GET."""
    server.replies = [redirect(status, target)]
    failure = failure_of(server.engine())
    assert failure.cause == "address" and target in failure.for_operator and len(server.bodies) == 1
    check_sentences(failure, server)


def test_a_redirect_to_nowhere_is_one_sentence(server: FakeServer) -> None:
    server.replies = [redirect(307, "http://[::1")]
    check_sentences(failure_of(server.engine()), server)


def test_a_redirect_in_a_circle_ends(server: FakeServer) -> None:
    server.replies = [redirect(307, "/v1/a"), redirect(307, "/v1/b"), redirect(307, "/v1/a"), redirect(307, "/v1/b")]
    assert failure_of(server.engine()).cause == "address" and len(server.bodies) == 4


@pytest.mark.parametrize("key", ["schlüssel", "a b", "sk-a\nX-Header: 1", "\x00"])
def test_a_key_that_no_header_can_carry_is_one_sentence(server: FakeServer, key: str) -> None:
    with pytest.raises(UserError, match="--engine-key") as caught:
        server.engine(key=key)
    assert key not in str(caught.value) and server.paths == []
    assert server.engine(key="  sesame\n").server.key == "sesame"


@pytest.mark.parametrize(
    ("kind", "beginning"), [("text/event-stream", b"data: "), ("application/json", b"{"), ("", b"x")]
)
def test_a_hundred_megabytes_without_a_newline_are_refused_quickly(
    server: FakeServer, kind: str, beginning: bytes
) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.end_headers()
        handler.close_connection = True
        try:
            handler.wfile.write(beginning)
            for _ in range(1600):
                handler.wfile.write(b"a" * 2**16)
        except OSError:
            handler.script.left.set()

    server.replies = [endless]
    began = time.process_time()
    failure = failure_of(server.engine())
    assert time.process_time() - began < 2  # 1.5 s of it would be reading all of it
    assert f"a line of more than {format_bytes(MAX_BYTES)}" in str(failure)
    check_sentences(failure, server)
    assert server.left.wait(10)  # and the connection is closed


def test_a_refusal_of_a_hundred_megabytes_is_read_to_its_first_words(server: FakeServer) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(400)
        handler.end_headers()
        handler.close_connection = True
        try:
            handler.wfile.write(b"no such thing: ")
            for _ in range(1600):
                handler.wfile.write(b"a" * 2**16)
        except OSError:
            handler.script.left.set()

    server.replies = [endless]
    assert "no such thing" in str(failure_of(server.engine())) and server.left.wait(10)


@pytest.mark.parametrize("proxy", ["nonsense", "socks9://a", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_one_sentence(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    with pytest.raises(UserError, match="--engine-url"):
        RemoteEngine.connect("http://203.0.113.1:1", timeout=0.1)


def redirect(status: int, target: str) -> Any:
    def run(handler: Handler) -> None:
        handler.send_response(status)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return run


def test_a_failure_is_logged_for_the_operator_without_what_was_asked(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.replies = [refuse(500, {"error": "no"})]
    with caplog.at_level(logging.WARNING):
        failure_of(server.engine(), [Message("user", "my secret question")])
    assert "my secret question" not in caplog.text and json.dumps(ASK[0].text) not in caplog.text


@pytest.mark.parametrize(
    ("error", "cause", "words"),
    [
        (httpx.ReadTimeout(""), "silent", "said nothing for 300 seconds"),
        (httpx.WriteTimeout(""), "broken", "broke"),
        (httpx.ConnectTimeout(""), "address", "cannot be reached"),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]"), "address", "cannot be reached"),
        (httpx.ConnectError("Name or service not known"), "address", "cannot be reached"),
        (httpx.RemoteProtocolError("illegal status line: b'SSH-2.0'"), "broken", "broke"),
        (httpx.DecodingError("bad gzip"), "broken", "broke"),
        (httpx.UnsupportedProtocol("Request URL has an unsupported protocol 'ftp://'."), "broken", "broke"),
    ],
)
def test_what_the_client_meets_is_a_sentence(error: Exception, cause: str, words: str) -> None:
    failure = unreachable(Server("http://u:sesame@h/v1", "m"), error)
    assert failure.cause == cause and words in str(failure)
    assert "http://h/v1" in failure.for_operator and "sesame" not in failure.for_operator
