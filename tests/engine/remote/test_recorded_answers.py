"""What real servers answered, replayed: vLLM 0.32 and transformers serve 5.23, both with nano in float32 on a CPU.

Recorded with `python -m tests.engine.remote.record_answers`. The same questions are asked of the servers themselves in
test_servers.py, where they are installed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.resources import NANO
from tests.engine.remote.fake_server import FakeServer, Handler
from tests.engine.remote.record_answers import RECORDED
from tests.engine.remote.scenarios import SCENARIOS, outcome

RECORDINGS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDED.glob("*.json"))}


class Replay(Handler):
    """Answers each request with the response to the same one, and a question with the next one of its path."""

    exchanges: list[dict[str, Any]]

    def do_GET(self) -> None:
        self.answer(lambda kept: True)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "messages" not in body:
            return self.answer(lambda kept: kept["prompt"] == body.get("prompt"))
        questions = [kept for kept in self.exchanges if "fields" in kept]
        # The first one whose request had no field that this one lacks: a refusal of fields is met only with them.
        kept = next((kept for kept in questions if set(kept["fields"]) <= {*body, "top_k"}), questions[-1])
        if kept is not questions[-1]:
            self.exchanges.remove(kept)
        self.say(kept["status"], kept["body"], kept["type"])

    def answer(self, fits: Any) -> None:
        found = (k for k in self.exchanges if (k["method"], k["path"]) == (self.command, self.path) and fits(k))
        kept = next(found, {"status": 404, "body": '{"detail": "Not Found"}', "type": "application/json"})
        self.say(kept["status"], kept["body"], kept["type"])


@pytest.fixture(params=[(recording, name) for recording in RECORDINGS for name in SCENARIOS], ids=" ".join)
def replayed(request: pytest.FixtureRequest) -> Iterator[tuple[str, str, RemoteEngine]]:
    recording, name = request.param
    kept = RECORDINGS[recording]
    with FakeServer.running() as server:
        server.http.RequestHandlerClass = type(
            "Kept", (Replay,), {"exchanges": list(kept["scenarios"][name]["exchanges"])}
        )
        model = SCENARIOS[name].model or kept["model"]
        checkpoint = str(NANO) if kept["model"] else "nano"
        yield recording, name, RemoteEngine.connect(server.url, model, checkpoint=checkpoint)


def test_a_recorded_answer_is_read_as_it_was(replayed: tuple[str, str, RemoteEngine]) -> None:
    recording, name, engine = replayed
    found = outcome(engine, SCENARIOS[name])
    assert found == RECORDINGS[recording]["scenarios"][name]["outcome"]
    check(recording, name, found)


def check(recording: str, name: str, found: dict[str, Any]) -> None:
    """What must be true of the outcome, whoever answered."""
    if name == "another model":
        assert found == {"failure": "no model"}
        return
    if recording.startswith("vllm") and name == "small picture":
        # nano's min_pixels, which vLLM applies, are 20 tokens; the released ones, with which the page counts, are 12.
        assert found["prompt_tokens"] - found["shown_tokens"] == 8 and "min_pixels is higher" in found["remark"]
    else:
        assert found["prompt_tokens"] == found["shown_tokens"] and found["remark"] == ""
    assert found["stop_reason"] == ("length" if name == "cut" else "end")
    if "colour" in SCENARIOS[name].messages[-1].text:
        assert ("red" if name == "picture" else "blue") in found["text"]
    if name == "cut":
        assert found["new_tokens"] == 3


@pytest.mark.parametrize("recording", RECORDINGS)
def test_recordings_are_small(recording: str) -> None:
    assert Path(RECORDED / f"{recording}.json").stat().st_size < 150_000
