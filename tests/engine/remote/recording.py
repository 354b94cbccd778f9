"""Exchanges with a real server, recorded and replayed.

    python -m tests.engine.remote.recording    # asks the vLLM of tests/vllm_server.py and writes recorded/*.json

Each file holds one scenario: what the engine sent, what the server answered byte for byte, and what the engine made of
it. `test_recorded.py` runs the scenarios again with a server that answers from the file.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import PIL.Image

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.engine.remote.media_parts import MediaParts, clip_file
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video
from qwen2vl_demo.resources import NANO

RECORDED = Path(__file__).parent / "recorded"
GREEDY = GenerationOptions(max_new_tokens=24)


def _picture(height: int = 112, width: int = 140) -> Image:
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[height // 4 : height // 2, width // 4 : width // 2] = (220, 30, 35)
    return Image(PIL.Image.fromarray(pixels))


def _clip() -> Video:
    frames = np.full((4, 112, 112, 3), 255, np.uint8)
    for index, frame in enumerate(frames):
        frame[40:70, 10 + 20 * index : 40 + 20 * index] = (40, 90, 215)
    return Video(clip_file(frames))


def _ask(engine: RemoteEngine, messages: list[Message], options: GenerationOptions = GREEDY) -> dict[str, Any]:
    """What the engine makes of an answer, or the sentence in which it fails."""
    try:
        result = list(engine.stream(messages, options))[-1].result
    except UserError as problem:
        return {"problem": re.sub(r"http://[\d.:]+", "http://SERVER", str(problem))}
    assert result is not None
    numbers = {"prompt_tokens": result.prompt_tokens, "new_tokens": result.new_tokens}
    return {"text": result.text, "stop_reason": result.stop_reason, **numbers, "notes": list(result.notes)}


def picture_and_follow_up(url: str, secret: bytes) -> list[dict[str, Any]]:
    """The second question sends the picture by its uuid; after a restart the server does not know it any more."""
    engine = _engine(url, secret)
    first = [Message("user", [_picture(), Text("What colour is the square?")])]
    answers = [_ask(engine, first)]
    follow_up = [*first, Message("assistant", answers[0].get("text", "")), Message("user", "Draw a box around it.")]
    answers.append(_ask(engine, follow_up))
    engine._parts._secret += b", of another start"
    return [*answers, _ask(engine, follow_up)]


def clip(url: str, secret: bytes) -> list[dict[str, Any]]:
    return [_ask(_engine(url, secret), [Message("user", [_clip(), Text("What happens?")])])]


def sampled(url: str, secret: bytes) -> list[dict[str, Any]]:
    options = replace(GREEDY, temperature=1.5, seed=7)
    return [_ask(_engine(url, secret), [Message("user", "Who are you?")], options)]


def refused_pixel_limits(url: str, secret: bytes) -> list[dict[str, Any]]:
    options = replace(GREEDY, media=MediaOptions(min_pixels=784))
    return [_ask(_engine(url, secret), [Message("user", [_picture(28, 56), Text("What is this?")])], options)]


def too_long(url: str, secret: bytes) -> list[dict[str, Any]]:
    """The engine that counts the words with another tokenizer leaves it to the server to refuse."""
    return [
        _ask(RemoteEngine(_engine(url, secret).server, _engine(url, secret).processor, exact_text=False), [_long()])
    ]


def _long() -> Message:
    return Message("user", "star " * 5000)


Scenario = Callable[[str, bytes], list[dict[str, Any]]]
SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario for scenario in (picture_and_follow_up, clip, sampled, refused_pixel_limits, too_long)
}


def _engine(url: str, secret: bytes) -> RemoteEngine:
    engine = RemoteEngine.connect(url, checkpoint=str(NANO))
    engine._parts = MediaParts()
    engine._parts._secret = secret  # so that the uuids are those of the recording
    return engine


class Exchanges(ThreadingHTTPServer):
    """A server on this machine that answers by `answer(method, path, body)` -> (status, content type, content)."""

    daemon_threads = True

    def __init__(self, answer: Callable[[str, str, bytes], tuple[int, str, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.url = f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def serving(self) -> Iterator[str]:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield self.url
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        status, kind, content = self.server.answer(self.command, self.path, body)  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def comparable(body: Any) -> Any:
    """A request with the digest of the pixels in place of each `data:` URI: encoders differ from machine to machine."""
    if isinstance(body, dict):
        return {key: comparable(value) for key, value in body.items()}
    if isinstance(body, list):
        return [comparable(item) for item in body]
    if isinstance(body, str) and body.startswith("data:"):
        kind, _, content = body.partition(";base64,")
        return kind, hashlib.sha256(_pixels(kind, base64.b64decode(content)).tobytes()).hexdigest()
    return body


def _pixels(kind: str, content: bytes) -> np.ndarray:
    if kind.startswith("data:image/"):
        return np.asarray(PIL.Image.open(io.BytesIO(content)))
    with av.open(io.BytesIO(content)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def record(scenario: Scenario, url: str) -> dict[str, Any]:
    """Runs a scenario with the server at `url` and returns what was said."""
    exchanges: list[dict[str, Any]] = []

    def forward(method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        headers = {"Content-Type": "application/json"}
        response = httpx.request(method, url + path, content=body, headers=headers, timeout=300, trust_env=False)
        kind = response.headers.get("content-type", "")
        text = re.sub(r'"root":"[^"]*"', '"root":"nano"', response.text)
        asked = json.loads(body) if body else None
        exchanges.append(
            {"method": method, "path": path, "request": asked, "status": response.status_code, "type": kind}
            | {"response": text}
        )
        return response.status_code, kind, text.encode()

    secret = secrets.token_hex(8)  # a server that was asked before knows the uuids of the last recording
    with Exchanges(forward).serving() as address:
        results = scenario(address, secret.encode())
    version = httpx.get(f"{url}/version", trust_env=False).json()["version"]
    return {"server": f"vLLM {version}", "secret": secret, "results": results, "exchanges": exchanges}


class Replay:
    """Answers each request as it was answered when it was recorded."""

    def __init__(self, recorded: dict[str, Any]) -> None:
        self._left = [(self._key(e["method"], e["path"], e["request"]), e) for e in recorded["exchanges"]]
        self.unknown: list[str] = []  # requests that were not made when it was recorded

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        key = self._key(method, path, json.loads(body) if body else None)
        at = next((i for i, (known, _) in enumerate(self._left) if known == key), None)
        if at is None:
            self.unknown.append(f"{method} {path} {body[:2000]!r}")
            return 404, "application/json", b'{"detail": "not recorded"}'
        found = self._left[at][1]
        if sum(known == key for known, _ in self._left) > 1:  # asked twice: the next time the next answer
            del self._left[at]
        return found["status"], found["type"], found["response"].encode()

    @staticmethod
    def _key(method: str, path: str, request: Any) -> tuple[str, str, Any]:
        return method, path, comparable(request)


def main() -> None:
    from tests import vllm_server

    with vllm_server.running() as url:
        for name, scenario in SCENARIOS.items():
            made = json.dumps(record(scenario, url), ensure_ascii=False, indent=1)
            (RECORDED / f"{name}.json").write_text(made + "\n", encoding="utf-8")
            print(f"{name}: {len(made) / 1000:.1f} kB")


if __name__ == "__main__":
    main()
