"""Where a server counts another prompt than the page shows, the page says so and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.engine.remote.server import Server
from qwen2vl_demo.engine.remote.usage import difference
from qwen2vl_demo.processing.messages import Image, Message, Text
from qwen2vl_demo.trace import PromptTrace
from tests.engine.remote.fake_server import ASK, DONE, GREEDY, FakeServer, event, reply

VLLM = Server("http://server/v1", "m", software="vLLM")
PICTURE = [Message("user", [Image(PIL.Image.new("RGB", (560, 420))), Text("What is this?")])]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer.running() as fake:
        yield fake


def said(counted: int) -> bytes:
    return event({"choices": [], "usage": {"prompt_tokens": counted, "completion_tokens": 1}}) + DONE


def remark(engine: RemoteEngine, server: FakeServer, messages: list[Message], counted: int) -> str:
    server.replies = [reply("a", tail=said(counted))]
    result = list(engine.stream(messages, GREEDY))[-1].result
    assert result is not None and result.prompt_tokens == counted
    return result.remark


def test_equal_counts_need_no_remark(server: FakeServer, checkpoint: Path) -> None:
    engine = server.engine(checkpoint=str(checkpoint))
    assert remark(engine, server, PICTURE, len(engine.prepare(PICTURE, GREEDY))) == ""


def test_a_server_that_shrinks_pictures_is_found_out(server: FakeServer, checkpoint: Path) -> None:
    """This checkpoint shrinks 560x420 itself, and the server to ten tokens less."""
    engine = server.engine(checkpoint=str(checkpoint))
    trace = engine.prepare(PICTURE, GREEDY)
    told = remark(engine, server, PICTURE, len(trace) - 10)
    media = trace.media[0].merged_tokens
    assert f"counted {len(trace) - 10:,} prompt tokens and this page {len(trace):,}, {media} of them" in told
    assert "max_pixels is lower" in told and "--mm-processor-kwargs" in told


def test_a_server_that_enlarges_pictures_is_found_out(server: FakeServer, checkpoint: Path) -> None:
    engine = server.engine(checkpoint=str(checkpoint))
    assert "min_pixels is higher" in remark(engine, server, PICTURE, len(engine.prepare(PICTURE, GREEDY)) + 100)


def test_another_tokenizer_is_found_out_where_counts_are_exact(server: FakeServer, checkpoint: Path) -> None:
    engine = server.engine(checkpoint=str(checkpoint))
    told = remark(engine, server, ASK, len(engine.prepare(ASK, GREEDY)) - 1)
    assert "another tokenizer" in told and "--model" in told


def test_estimates_of_text_are_given_room_but_pictures_are_not(server: FakeServer) -> None:
    """With nano's tokenizer the text of this prompt takes 23 tokens; the released tokenizer takes fewer of the same
    text, never less than a fifth. 81 tokens cannot hold the 300 of the picture."""
    engine = server.engine()
    trace = engine.prepare(PICTURE, GREEDY)
    text = len(trace) - 300
    assert remark(engine, server, PICTURE, 300 + text) == remark(engine, server, PICTURE, 300 + text // 2) == ""
    assert "max_pixels is lower" in remark(engine, server, PICTURE, 81)
    assert "min_pixels is higher" in remark(engine, server, PICTURE, 2 * len(trace))


def test_a_clip_that_lost_its_end_is_found_out() -> None:
    trace = prompt("video", 1500)
    told = difference(trace, 800, VLLM, exact_text=True)
    assert "keeps fewer frames" in told and "num_frames" in told


@pytest.mark.parametrize(("software", "word"), [("Ollama", "resizes pictures"), ("llama.cpp", "limit of its own")])
def test_the_reason_fits_the_software(software: str, word: str) -> None:
    known = Server("http://server/v1", "m", software=software)  # type: ignore[arg-type]
    assert word in difference(prompt("image", 1500), 800, known, exact_text=False)


def test_a_server_that_counts_nothing_is_believed() -> None:
    assert difference(prompt("image", 1500), None, VLLM, exact_text=True) == ""


def prompt(kind: str, merged: int) -> PromptTrace:
    """A trace of 20 tokens of text and one medium of `merged` tokens; only what `difference` reads is real."""

    class Medium:
        merged_tokens = merged

        def __init__(self) -> None:
            self.kind = kind

    ids = np.zeros(20 + merged, np.int64)
    return PromptTrace(ids, np.zeros((3, len(ids)), np.int64), 0, ("",) * len(ids), (Medium(),), 32_768)  # type: ignore[arg-type]
