"""Finding out what a server serves, waiting for one that starts, and noticing one that was started again."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwen2vl_demo.engine.remote import watched_server
from qwen2vl_demo.engine.remote.discovery import discover
from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.engine.remote.failures import ServerFailure
from qwen2vl_demo.engine.remote.server import Server, base_url
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.settings import Settings
from tests.engine.remote.fake_server import (
    ASK,
    GREEDY,
    FakeServer,
    Handler,
    refuse,
    reply,
    result_of,
    text_of,
)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer.running() as fake:
        yield fake


def found(server: FakeServer, model: str = "") -> Server:
    return discover(Server(base_url(server.url), model, timeout=0.5))


def closed_port() -> int:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return int(reserved.getsockname()[1])


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_every_way_to_write_the_address_reaches_the_same_place(server: FakeServer, ending: str) -> None:
    list(RemoteEngine.connect(server.url + ending).stream(ASK, GREEDY))
    assert server.paths == ["/v1/models", "/v1/chat/completions"]


# Models


def test_the_only_model_is_taken_and_several_want_a_choice(server: FakeServer) -> None:
    server.cards = [{"id": "b"}, {"id": "a"}]
    with pytest.raises(UserError, match=r"serves a, b.*--engine-model"):
        server.engine()
    assert server.engine(model="b").server.model == "b"


def test_a_model_that_is_not_listed_is_tried(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    """Ollama lists `q:latest` and takes `q`, transformers serve lists its cache and takes any directory."""
    engine = server.engine(model="c")
    assert result_of(engine).text == "Hello there" and server.bodies[-1]["model"] == "c"
    assert "lists qwen and not 'c'; trying it" in caplog.text


@pytest.mark.parametrize("status", [404, 405, 500])
def test_a_server_that_does_not_list_its_models_needs_the_name_only(server: FakeServer, status: int) -> None:
    """transformers serve answers 500 while there is no cache of models to list."""
    server.models_status = status
    with pytest.raises(UserError, match=rf"does not say.*{status}.*--engine-model"):
        server.engine()
    assert text_of(list(server.engine(model="qwen").stream(ASK, GREEDY))) == "Hello there"


@pytest.mark.parametrize(
    "answer",
    [
        {"data": [{"id": "q"}]},
        {"models": [{"name": "q", "model": "q"}]},
        [{"id": "q", "type": "chat"}],
        {"data": [{"id": "text-embedding-nomic"}, {"id": "q"}]},  # LM Studio always lists one
        {"data": [5, {"id": None}, {}, {"id": "q"}, "x"]},
    ],
)
def test_lists_of_models_of_every_form_are_read(server: FakeServer, answer: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(Handler, "do_GET", lambda self: self.say(200 if self.path == "/v1/models" else 404, answer))
    assert found(server).model == "q"


@pytest.mark.parametrize("answer", ["", "<html>", "[" * 100_000, {"data": 5}, {"data": {"id": "q"}}, None, 5])
def test_a_list_that_is_none_asks_for_the_model(server: FakeServer, answer: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(Handler, "do_GET", lambda self: self.say(200, answer))
    with pytest.raises(UserError, match="--engine-model"):
        found(server)
    assert found(server, "q").model == "q"


@pytest.mark.parametrize(
    ("card", "pages", "length"),
    [
        ({"owned_by": "vllm", "max_model_len": 9000}, {}, 9000),
        ({"owned_by": "sglang", "max_model_len": 8000}, {}, 8000),
        ({"context_length": 7000}, {}, 7000),
        ({"owned_by": "llamacpp", "meta": {"n_ctx_train": 32768}}, {}, None),
        (
            {"owned_by": "llamacpp", "meta": {"n_ctx_train": 32768}},
            {"/props": {"default_generation_settings": {"n_ctx": 4096}}},
            4096,
        ),
        (
            {"owned_by": "organization_owner"},
            {"/api/v0/models/q": {"max_context_length": 32768, "loaded_context_length": 4096}},
            4096,
        ),
        ({"max_model_len": "9000"}, {}, None),
        ({"max_model_len": -1}, {}, None),
        ({"max_model_len": True}, {}, None),
        ({"max_model_len": 1e400}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_context_length_is_what_the_server_has_reserved(
    server: FakeServer, card: dict[str, Any], pages: dict[str, Any], length: int | None
) -> None:
    server.cards, server.pages = [{"id": "q", **card}], pages
    assert found(server).context_length == length


@pytest.mark.parametrize(
    ("owner", "pages", "software"),
    [
        ("vllm", {}, "vLLM"),
        ("sglang", {}, "SGLang"),
        ("llamacpp", {}, "llama.cpp"),
        ("library", {}, "Ollama"),
        ("organization_owner", {}, "LM Studio"),
        ("Qwen", {"/openapi.json": {"paths": {"/load_model": {}, "/v1/responses": {}}}}, "transformers"),
        ("system", {"/openapi.json": {"paths": []}}, ""),
        (["vllm"], {}, ""),
    ],
)
def test_a_server_is_known_by_what_it_says(
    server: FakeServer, owner: Any, pages: dict[str, Any], software: str
) -> None:
    server.cards, server.pages = [{"id": "q", "owned_by": owner}], pages
    assert found(server).software == software


# Addresses and keys


def test_a_wrong_key_is_found_when_connecting(server: FakeServer) -> None:
    server.models_status = 401
    with pytest.raises(UserError, match="--engine-key"):
        server.engine(key="wrong")


@pytest.mark.parametrize("url", ["http://a:99999", "http://[::1", "http://a b/"])
def test_an_impossible_address_is_one_sentence(url: str) -> None:
    with pytest.raises(UserError, match="--engine-url"):
        Settings(engine_url=url)
        RemoteEngine.connect(url)


def test_a_server_that_is_not_there_is_one_sentence_without_the_password() -> None:
    with pytest.raises(UserError, match="--engine-url") as caught:
        RemoteEngine.connect(f"http://ann:sesame@127.0.0.1:{closed_port()}", timeout=0.5)
    assert "sesame" not in str(caught.value) and "127.0.0.1" in str(caught.value)


def test_a_list_that_was_moved_is_found_and_questions_go_there(server: FakeServer, monkeypatch: Any) -> None:
    answered = Handler.do_GET

    def moved(self: Handler) -> None:
        if self.path != "/v1/models":
            return answered(self)
        self.send_response(308)
        self.send_header("Location", f"{server.url}/v2/models")
        self.send_header("Content-Length", "0")
        self.end_headers()

    server.pages["/v2/models"] = {"data": [{"id": "q"}]}
    monkeypatch.setattr(Handler, "do_GET", moved)
    assert result_of(server.engine()).text == "Hello there"
    assert server.paths[-1] == "/v2/chat/completions"


# Starting and restarting


def test_a_server_that_starts_late_is_waited_for_visibly() -> None:
    port, said = closed_port(), list[str]()
    late: list[FakeServer] = []

    def say(sentence: str) -> None:
        said.append(sentence)
        late.append(FakeServer(port))

    try:
        engine = RemoteEngine.connect(f"http://127.0.0.1:{port}", timeout=20, say=say)
        assert engine.server.model == "qwen" and len(said) == 1
        assert f"127.0.0.1:{port}" in said[0] and "waiting for it, at most 20 s" in said[0]
    finally:
        for fake in late:
            fake.http.shutdown()
            fake.http.server_close()


def test_a_server_that_loads_its_model_is_waited_for(server: FakeServer, monkeypatch: Any) -> None:
    """llama.cpp: 503 with "Loading model"."""
    answered, said = Handler.do_GET, list[str]()

    def loading(self: Handler) -> None:
        if said:
            return answered(self)
        self.say(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})

    monkeypatch.setattr(Handler, "do_GET", loading)
    assert server.engine(say=said.append).server.model == "qwen"
    assert len(said) == 1 and "is loading its model" in said[0]


def test_waiting_ends_after_the_allowed_time(server: FakeServer) -> None:
    server.models_status = 503
    began = time.monotonic()
    with pytest.raises(UserError, match=r"No model is ready at http://127.*503.*--engine-url"):
        server.engine(timeout=0.5)
    assert time.monotonic() - began < 5


def test_a_question_waits_while_the_model_loads_and_that_is_not_counted(server: FakeServer, monkeypatch: Any) -> None:
    monkeypatch.setattr(watched_server, "AGAIN_SECONDS", 0.3)
    server.replies = [refuse(503, {"error": {"message": "Loading model"}}), reply("Hello", " there")]
    chunks = list(server.engine().stream(ASK, GREEDY))
    assert text_of(chunks) == "Hello there"
    assert any("is loading the model; waiting for it" in (chunk.status or "") for chunk in chunks)
    result = chunks[-1].result
    assert result is not None and 0.3 <= result.timings["wait"] <= result.timings["first_token"]


def test_a_question_to_a_server_that_is_being_restarted_waits_and_reads_its_model_and_context_again(
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(watched_server, "AGAIN_SECONDS", 0.1)
    with FakeServer.running() as before:
        engine, port = before.engine(), before.http.server_port
        assert (engine.name, engine.prepare(ASK, GREEDY).context_length) == ("qwen", 9000)
    answer = engine.stream(ASK, GREEDY)
    while "does not answer; waiting" not in (next(answer).status or ""):
        pass
    with FakeServer.running(port) as after:
        after.cards = [{"id": "other", "owned_by": "vllm", "max_model_len": 5000}]
        assert text_of(list(answer)) == "Hello there"
        assert after.bodies[-1]["model"] == engine.name == "other"
        assert engine.prepare(ASK, GREEDY).context_length == 5000


def test_waiting_for_a_restart_can_be_stopped_and_ends(monkeypatch: Any) -> None:
    with FakeServer.running() as before:
        engine = before.engine(timeout=1.5)
    cancel = threading.Event()
    chunks = []
    for chunk in engine.stream(ASK, GREEDY, cancel):
        chunks.append(chunk)
        if "waiting for it" in (chunk.status or ""):
            cancel.set()
    result = chunks[-1].result
    assert result is not None and result.stop_reason == "cancelled"
    with pytest.raises(ServerFailure, match=r"does not answer at the moment\. Ask again in a minute"):
        list(engine.stream(ASK, GREEDY))


def test_a_model_that_the_server_no_longer_has_is_looked_up_again_unless_it_was_chosen(server: FakeServer) -> None:
    gone = refuse(404, {"error": {"message": "The model `qwen` does not exist."}})
    engine, chosen = server.engine(), server.engine(model="qwen")
    server.cards = [{"id": "other"}]
    server.replies = [gone, reply("fine")]
    assert result_of(engine).text == "fine" and server.bodies[-1]["model"] == "other"
    server.replies = [gone]
    with pytest.raises(ServerFailure) as caught:
        list(chosen.stream(ASK, GREEDY))
    assert "'qwen'" in caught.value.for_operator and "it serves other" in caught.value.for_operator
    assert server.bodies[-1]["model"] == "qwen"


def test_what_a_server_serves_is_read_again_when_that_is_long_ago(server: FakeServer, monkeypatch: Any) -> None:
    """Somebody may have started it with another context between two questions."""
    engine = server.engine()
    server.cards[0]["max_model_len"] = 5000
    result_of(engine)
    assert engine.server.context_length == 9000
    monkeypatch.setattr(watched_server, "LOOK_AGAIN_SECONDS", 0.0)
    result_of(engine)
    assert engine.server.context_length == 5000


def test_a_prompt_that_was_prepared_before_a_restart_is_measured_by_the_context_after_it(
    server: FakeServer, checkpoint: Path, monkeypatch: Any
) -> None:
    engine = server.engine(checkpoint=str(checkpoint))
    prompt = engine.prompt(ASK, GREEDY)
    monkeypatch.setattr(watched_server, "LOOK_AGAIN_SECONDS", 0.0)
    server.cards[0]["max_model_len"] = 5000
    result = list(engine.stream(ASK, GREEDY, prompt=prompt))[-1].result
    assert result is not None and result.trace is not None and result.trace.context_length == 5000
    server.cards[0]["max_model_len"] = 5
    with pytest.raises(UserError, match="reads at most 5"):
        list(engine.stream(ASK, GREEDY, prompt=prompt))
