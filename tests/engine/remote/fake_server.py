"""A real HTTP server, on a thread, that speaks OpenAI's event stream and says what a test scripts."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from qwen2vl_demo.engine.protocol import Chunk, GenerationOptions, Result
from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.processing.messages import Message

ASK = [Message("user", "What is this?")]
GREEDY = GenerationOptions(max_new_tokens=16)


class FakeServer:
    """Answers GET /v1/models with `cards`, and each POST with the next of `replies` (the last one again and again)."""

    def __init__(self, port: int = 0) -> None:
        """`port` 0 is any free one."""
        self.cards: list[dict[str, Any]] = [{"id": "qwen", "owned_by": "vllm", "max_model_len": 9000}]
        self.models_status = 200
        self.pages: dict[str, Any] = {}  # what a GET of another path gives, as JSON
        self.replies: list[Callable[[Handler], None]] = [reply("Hello", " there")]
        self.tokenize: Callable[[dict[str, Any]], tuple[int, Any]] | None = None  # (status, answer) for a body
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.asked = threading.Event()  # set when `silent` has a request
        self.left = threading.Event()  # set when a client hung up while being answered
        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.http.script = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @classmethod
    @contextlib.contextmanager
    def running(cls, port: int = 0) -> Iterator[FakeServer]:
        fake = cls(port)
        try:
            yield fake
        finally:
            fake.http.shutdown()
            fake.http.server_close()

    def engine(self, **how: Any) -> RemoteEngine:
        return RemoteEngine.connect(self.url, **how)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def script(self) -> FakeServer:
        return self.server.script  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.script.paths.append(self.path)
        self.script.keys.append(self.headers["Authorization"])
        if self.path != "/v1/models":
            page = self.script.pages.get(self.path)
            return self.say(404, {"detail": "Not Found"}) if page is None else self.say(200, page)
        self.say(self.script.models_status, {"object": "list", "data": self.script.cards})

    def do_POST(self) -> None:
        if self.path == "/tokenize":
            return self.tokenize()
        self.script.paths.append(self.path)
        self.script.keys.append(self.headers["Authorization"])
        self.script.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        replies = self.script.replies
        (replies.pop(0) if len(replies) > 1 else replies[0])(self)

    def tokenize(self) -> None:
        """vLLM's, if the test gives one."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        tokenize = self.script.tokenize
        self.say(*((404, {"detail": "Not Found"}) if tokenize is None else tokenize(body)))

    def say(self, status: int, answer: Any, kind: str = "application/json") -> None:
        content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def put(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))

    def finish_stream(self) -> None:
        self.wfile.write(b"0\r\n\r\n")


def delta(text: str | None = None, finish: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


def event(record: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(record).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
USAGE = event({"choices": [], "usage": {"prompt_tokens": 321, "completion_tokens": 7}})


def reply(*texts: str, finish: str = "stop", tail: bytes = USAGE + DONE) -> Callable[[Handler], None]:
    return stream(*[delta(text) for text in texts], delta(finish=finish), tail)


def stream(*pieces: bytes) -> Callable[[Handler], None]:
    def run(handler: Handler) -> None:
        handler.begin()
        for piece in pieces:
            handler.put(piece)
        handler.finish_stream()

    return run


def refuse(status: int, answer: Any, kind: str = "application/json") -> Callable[[Handler], None]:
    return lambda handler: handler.say(status, answer, kind)


def slow(handler: Handler) -> None:
    """Writes without end, until the client hangs up."""
    handler.begin()
    try:
        for _ in range(1200):
            handler.put(delta("tick "))
            time.sleep(0.05)
    except OSError:
        handler.script.left.set()
    handler.close_connection = True


def silent(handler: Handler) -> None:
    """Takes the request and says nothing, until the client hangs up."""
    handler.script.asked.set()
    if handler.connection.recv(1) == b"":
        handler.script.left.set()
    handler.close_connection = True


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def result_of(engine: RemoteEngine, options: GenerationOptions = GREEDY) -> Result:
    """The result of a question."""
    result = list(engine.stream(ASK, options))[-1].result
    assert result is not None
    return result
