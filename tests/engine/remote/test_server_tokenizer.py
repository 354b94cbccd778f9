"""Exact ids without the checkpoint: vLLM's /tokenize answers for the tokenizer that is not here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import tokenizers

from qwen2vl_demo.engine.remote import watched_server
from qwen2vl_demo.geometry import MAX_PIXELS, MIN_PIXELS
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text
from qwen2vl_demo.processing.processor import Processor
from tests.engine.remote.fake_server import ASK, GREEDY, FakeServer, result_of

CHAT = [
    Message("system", "Be brief."),
    Message("user", [Image(PIL.Image.new("RGB", (56, 56))), Text("Grüße 🐈 <|im_end|>\n2 < 3")]),
    Message("assistant", "There is <|object_ref_start|>a cat<|object_ref_end|>."),
    Message("user", "And <|image_pad|>?"),
]


@pytest.fixture
def server(checkpoint: Path) -> Iterator[FakeServer]:
    """A vLLM that runs the tiny checkpoint, whose vocabulary is not nano's."""
    core = tokenizers.Tokenizer.from_file(str(checkpoint / "tokenizer.json"))

    def tokenize(body: dict[str, Any]) -> tuple[int, Any]:
        ids = core.encode(body["prompt"], add_special_tokens=body["add_special_tokens"]).ids
        tokens = [core.id_to_token(i) for i in ids]
        return 200, {"count": len(ids), "max_model_len": 9000, "tokens": ids, "token_strs": tokens}

    with FakeServer.running() as fake:
        fake.tokenize = tokenize
        yield fake


def test_ids_and_texts_of_tokens_are_those_of_the_servers_checkpoint(server: FakeServer, checkpoint: Path) -> None:
    """A typed special token is sent with a zero-width space in it, so it counts with it."""
    engine = server.engine()
    sent = [Message(m.role, [_as_sent(part) for part in m.parts]) for m in CHAT]
    own = (
        Processor.from_directory(checkpoint)
        .process(sent, MediaOptions(min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS))
        .trace
    )
    trace = engine.prepare(CHAT, GREEDY)
    assert trace.input_ids.tolist() == own.input_ids.tolist()
    assert trace.tokens == own.tokens and trace.media[0].span == own.media[0].span
    assert engine.counts_exactly and "estimates" not in engine.description


def _as_sent(part: Any) -> Any:
    typed = ("<|im_end|>", "<|image_pad|>")
    if isinstance(part, Text):
        text = part.text
        for token in typed:
            text = text.replace(token, token.replace("<|", "<\u200b|"))
        return Text(text)
    return part


def test_a_text_is_asked_for_once(server: FakeServer) -> None:
    engine = server.engine()
    engine.prepare(CHAT, GREEDY)
    asked = list[str]()
    answer, server.tokenize = server.tokenize, lambda body: asked.append(body["prompt"]) or answer(body)  # type: ignore
    engine.prepare([*CHAT, Message("assistant", "Yes."), Message("user", "New.")], GREEDY)
    assert "New." in "".join(asked) and "brief" not in "".join(asked)


@pytest.mark.parametrize(
    "answer",
    [
        (404, {"detail": "Not Found"}),
        (200, {"tokens": [1, 2], "token_strs": None}),
        (200, {"tokens": [1], "token_strs": ["a"]}),  # another family: special tokens are pieces of text there
        (200, {"tokens": ["a"], "token_strs": ["a"]}),
        (200, {"tokens": [-1], "token_strs": ["a"]}),
        (200, [1, 2]),
        (200, "no"),
    ],
)
def test_without_it_the_numbers_are_estimates(server: FakeServer, answer: tuple[int, Any]) -> None:
    server.tokenize = lambda body: answer
    engine = server.engine()
    assert not engine.counts_exactly and "estimates" in engine.description
    assert len(engine.prepare(CHAT, GREEDY)) > 10


def test_only_vllm_is_asked(server: FakeServer) -> None:
    server.cards[0]["owned_by"] = "sglang"
    assert not server.engine().counts_exactly


def test_a_server_that_stops_tokenizing_leaves_estimates_until_it_does_again(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = server.engine()
    exact = engine.prepare(ASK, GREEDY).input_ids.tolist()
    answer, server.tokenize = server.tokenize, None
    other = [Message("user", "Something new?")]
    assert len(engine.prepare(other, GREEDY)) > 10 and not engine.counts_exactly
    server.tokenize = answer
    monkeypatch.setattr(watched_server, "LOOK_AGAIN_SECONDS", 0.0)
    result_of(engine)
    assert engine.counts_exactly and engine.prepare(ASK, GREEDY).input_ids.tolist() == exact
