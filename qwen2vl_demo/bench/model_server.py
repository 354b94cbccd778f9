"""A server with OpenAI's interface that writes what it is told, as fast as it is told, or never answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "scripted"


class ModelServer(ThreadingHTTPServer):
    """Lists one model and answers the questions with `answers`, one after the other, a word at a time; when they are
    used up, never. Runs in threads of its own; a context manager."""

    daemon_threads = True

    def __init__(self, answers: Iterator[list[str]], words_a_second: float = 200.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.answers, self.pause = answers, 1 / words_a_second

    def __enter__(self) -> ModelServer:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:
        card = {"id": MODEL, "object": "model", "max_model_len": 32_768}
        body = json.dumps({"object": "list", "data": [card]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        words = next(self.server.answers, None)
        if words is None:
            time.sleep(600)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        began = time.monotonic()
        for number, word in enumerate(words, 1):
            self._event({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
            time.sleep(max(0.0, began + number * self.server.pause - time.monotonic()))
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, event: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps({"id": "1", "model": MODEL, **event}).encode() + b"\n\n")

    def log_message(self, *_: object) -> None:
        """Nothing."""
