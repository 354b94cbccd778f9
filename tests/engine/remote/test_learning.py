"""A server that refuses a form of a question is asked in another one, and later questions come in that form at once."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.remote.media_parts import clip_file
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.messages import Image, Message, Part, Text, Video
from tests.engine.remote.fake_server import ASK, GREEDY, FakeServer, refuse, reply

CLIP = [Message("user", [Video(clip_file(np.full((4, 112, 112, 3), 90, np.uint8))), Text("What happens?")])]
PICTURE = [Message("user", [Image(PIL.Image.new("RGB", (112, 112), "red")), Text("What is this?")])]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer.running() as fake:
        yield fake


def kinds(body: dict[str, Any], message: int = 0) -> list[str]:
    return [part["type"] for part in body["messages"][message]["content"]]


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (400, {"error": {"message": "unsupported content[].type"}}),  # llama.cpp
        (400, {"error": {"message": "At most 0 video(s) may be provided in one prompt."}}),  # vLLM
        (400, {"error": {"message": "Invalid value: 'video_url'. Supported values are: 'text', 'image_url'."}}),
    ],
)
def test_a_server_without_video_gets_the_frames_of_this_and_of_later_clips(
    server: FakeServer, status: int, answer: Any
) -> None:
    server.cards[0]["owned_by"] = "llamacpp"
    server.replies = [refuse(status, answer), reply("fine")]
    engine = server.engine()
    shown = engine.prompt(CLIP, GREEDY)
    result = list(engine.stream(CLIP, GREEDY, prompt=shown))[-1].result
    assert result is not None and result.trace is not None and result.text == "fine"
    assert [kinds(body).count("image_url") for body in server.bodies] == [0, 4]
    assert [m.kind for m in result.trace.media] == ["image"] * 4
    assert "takes no video" in " ".join(result.notes)
    list(engine.stream(CLIP, GREEDY))
    assert len(server.bodies) == 3 and kinds(server.bodies[-1]).count("image_url") == 4
    shown = engine.prompt(CLIP, GREEDY)
    assert shown.trace.input_ids.tolist() == result.trace.input_ids.tolist()
    again = list(engine.stream(CLIP, GREEDY, prompt=shown))[-1].result
    assert again is not None and again.trace is shown.trace


def test_nothing_is_learnt_where_the_other_form_is_refused_too(server: FakeServer) -> None:
    server.replies = [
        refuse(400, {"error": {"message": "video input is not supported"}}),
        refuse(400, {"error": {"message": "At most 2 images may be provided"}}),
        reply("fine"),
    ]
    engine = server.engine()
    with pytest.raises(UserError, match="at most 2 pictures"):
        list(engine.stream(CLIP, GREEDY))
    list(engine.stream(CLIP, GREEDY))
    assert "video_url" in kinds(server.bodies[-1])


def test_a_picture_is_sent_again_where_the_server_has_forgotten_it(server: FakeServer) -> None:
    engine = server.engine()
    list(engine.stream(PICTURE, GREEDY))
    miss = {"error": {"message": "Cache miss for image at index 0 but data is not provided.", "code": 400}}
    server.replies = [refuse(400, miss), reply("fine")]
    result = list(engine.stream(PICTURE, GREEDY))[-1].result
    assert result is not None and result.text == "fine"
    first, named, whole = (body["messages"][0]["content"][0] for body in server.bodies)
    assert named["image_url"] is None and whole == first
    assert base64.b64decode(first["image_url"]["url"].partition(",")[2]).startswith(b"\x89PNG")


def test_only_vllm_is_sent_names(server: FakeServer) -> None:
    server.cards[0]["owned_by"] = "sglang"
    engine = server.engine()
    for _ in range(2):
        list(engine.stream(PICTURE, GREEDY))
    assert all(set(body["messages"][0]["content"][0]) == {"type", "image_url"} for body in server.bodies)
    assert server.bodies[0] == server.bodies[1]


def test_a_refused_field_is_left_out_of_later_questions_too(server: FakeServer) -> None:
    server.replies = [
        refuse(400, {"error": {"message": "Unrecognized request argument supplied: min_p"}}),
        refuse(400, {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'."}}),
        refuse(422, {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": "top_k"}]}),
        reply("fine"),
    ]
    engine = server.engine()
    options = GenerationOptions(max_new_tokens=16, temperature=0.5, seed=3)
    results = [list(engine.stream(ASK, options))[-1].result for _ in range(2)]
    assert len(server.bodies) == 5
    for body in server.bodies[-2:]:
        assert not {"min_p", "max_tokens", "seed"} & set(body)
        assert body["max_completion_tokens"] == 16 and body["top_k"] == -1
    assert {result.notes for result in results if result} == {
        ("the seed does not act, since the server does not take it",)
    }


def test_what_is_too_long_is_not_uploaded(server: FakeServer) -> None:
    """Pictures count exactly even where words are estimates: 32x32 merged tokens do not fit into 1000."""
    server.cards[0]["max_model_len"] = 1000
    parts: list[Part] = [Image(PIL.Image.new("RGB", (896, 896))), Text("What is this?")]
    with pytest.raises(UserError, match=r"\(1024 of them pictures\), but the model reads at most 1000\. Lower"):
        list(server.engine().stream([Message("user", parts)], GREEDY))
    assert server.bodies == []


def test_a_context_that_nobody_told_is_unknown(server: FakeServer) -> None:
    del server.cards[0]["max_model_len"]
    engine = server.engine()
    trace = engine.prepare(ASK, GREEDY)
    assert trace.context_length is None and engine.estimate(trace, GREEDY).room is None
    list(engine.stream(ASK, GenerationOptions(max_new_tokens=100_000)))
    assert server.bodies[-1]["max_tokens"] == 100_000
