"""The remote engine against a real HTTP server that speaks OpenAI's event stream: what is sent, what comes back, and
how every way to fail reads. The server is the standard library's, on a thread; it says what each test scripts."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.remote.media_parts import clip_file
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video
from qwen2vl_demo.processing.processor import Processor
from tests.engine.remote.fake_server import (
    ASK,
    DONE,
    GREEDY,
    FakeServer,
    delta,
    refuse,
    reply,
    silent,
    slow,
    stream,
    text_of,
)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer.running() as fake:
        yield fake


def picture(height: int, width: int) -> PIL.Image.Image:
    rows, columns = np.indices((height, width))
    return PIL.Image.fromarray(np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=-1).astype(np.uint8))


def clip(frames: int, height: int = 112, width: int = 140) -> bytes:
    """Frames of one grey each, two a second."""
    return clip_file(np.stack([np.full((height, width, 3), 20 + 5 * i, np.uint8) for i in range(frames)]))


def content_of(server: FakeServer, message: int = -1) -> Any:
    return server.bodies[-1]["messages"][message]["content"]


# What comes back


def test_an_answer_streams_and_ends_with_the_servers_own_counts(server: FakeServer) -> None:
    chunks = list(server.engine().stream(ASK, GREEDY))
    result = chunks[-1].result
    assert [c.text for c in chunks if c.text] == ["Hello", " there"]
    assert result is not None and result.text == "Hello there"
    assert (result.stop_reason, result.prompt_tokens, result.new_tokens) == ("end", 321, 7)
    assert {"prepare", "first_token", "decode", "total"} <= set(result.timings)
    assert all(chunk.result is None for chunk in chunks[:-1])


def test_a_server_without_usage_leaves_our_own_counts(server: FakeServer) -> None:
    server.replies = [reply("a", "b", "c", tail=DONE)]
    engine = server.engine()
    result = list(engine.stream(ASK, GREEDY))[-1].result
    assert result is not None
    assert (result.prompt_tokens, result.new_tokens) == (len(engine.prepare(ASK, GREEDY)), 3)


def test_an_answer_cut_by_its_limit_says_length(server: FakeServer) -> None:
    server.replies = [reply("a", finish="length")]
    result = list(server.engine().stream(ASK, GREEDY))[-1].result
    assert result is not None and result.stop_reason == "length"


def test_a_stream_that_ends_without_done_is_whole_if_its_reason_has_come(server: FakeServer) -> None:
    server.replies = [stream(delta("a"), delta(finish="stop"))]
    result = list(server.engine().stream(ASK, GREEDY))[-1].result
    assert result is not None and (result.text, result.stop_reason) == ("a", "end")


def test_letters_survive_any_cut_of_the_network(server: FakeServer) -> None:
    """Every byte of the stream comes in a TCP segment of its own; letters of 2, 3 and 4 bytes are in it unescaped."""
    record = {"choices": [{"delta": {"content": "Grüße, 猫 🐈"}, "finish_reason": "stop"}]}
    content = b": keep-alive\r\n\r\ndata: " + json.dumps(record, ensure_ascii=False).encode() + b"\r\n\r\n" + DONE
    server.replies = [stream(*(content[i : i + 1] for i in range(len(content))))]
    assert text_of(list(server.engine().stream(ASK, GREEDY))) == "Grüße, 猫 🐈"


def test_a_letter_whose_halves_come_in_two_events_is_never_shown_by_halves(server: FakeServer) -> None:
    r"""JSON may write 🐈 as the surrogate pair \ud83d \udc08, and a server may cut between the two."""
    server.replies = [reply("a\ud83d", "\udc08b", "\ud83d")]
    chunks = list(server.engine().stream(ASK, GREEDY))
    assert [c.text for c in chunks if c.text] == ["a", "🐈b"]


# What is sent


def test_the_request_holds_every_option_also_a_neutral_one(server: FakeServer) -> None:
    """What is left out is taken from the checkpoint's generation_config.json, whose top_k is 1 in the released ones."""
    engine = server.engine()
    list(engine.stream(ASK, GREEDY))
    body = server.bodies[-1]
    assert (body["model"], body["max_tokens"], body["temperature"], body["stream"]) == ("qwen", 16, 0, True)
    assert body["skip_special_tokens"] is False  # boxes are special tokens
    neutral = {"top_p": 1, "top_k": -1, "repetition_penalty": 1, "min_p": 0}
    assert {name: body[name] for name in neutral} == neutral
    list(engine.stream(ASK, GenerationOptions(temperature=0.7, top_p=0.8, top_k=5, repetition_penalty=1.1, seed=3)))
    body = server.bodies[-1]
    sampling = ("temperature", "top_p", "top_k", "repetition_penalty", "seed")
    assert [body[name] for name in sampling] == [0.7, 0.8, 5, 1.1, 3]


def test_a_picture_is_sent_as_it_was_resized_here(server: FakeServer) -> None:
    """300x400 becomes 308x392 (11 and 14 merged tokens a side): the server has nothing left to resize."""
    engine = server.engine()
    messages = [Message("user", [Image(picture(300, 400)), Text("What is this?")])]
    list(engine.stream(messages, GREEDY))
    shown, asked = content_of(server)
    head, _, content = shown["image_url"]["url"].partition(",")
    sent = PIL.Image.open(io.BytesIO(base64.b64decode(content)))
    assert head == "data:image/png;base64" and asked == {"type": "text", "text": "What is this?"}
    assert (sent.height, sent.width) == (308, 392) == engine.prepare(messages, GREEDY).media[0].resized_size
    wanted = picture(300, 400).resize((392, 308), PIL.Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(sent), np.asarray(wanted))


def test_the_pixel_budget_acts_before_sending(server: FakeServer) -> None:
    options = GenerationOptions(media=MediaOptions(max_pixels=100 * 784))
    list(server.engine().stream([Message("user", [Image(picture(1000, 1000))])], options))
    sent = PIL.Image.open(io.BytesIO(base64.b64decode(content_of(server)[0]["image_url"]["url"].partition(",")[2])))
    assert (sent.height, sent.width) == (280, 280)


@pytest.mark.parametrize(("owner", "frames"), [("vllm", 8), ("vllm", 40), ("sglang", 8)])
def test_a_clip_is_sent_as_a_file_from_which_two_frames_a_second_are_exactly_ours(
    server: FakeServer, owner: str, frames: int
) -> None:
    server.cards[0]["owned_by"] = owner
    engine = server.engine()
    messages = [Message("user", [Video(clip(frames))])]
    list(engine.stream(messages, GREEDY))
    head, _, content = content_of(server)[0]["video_url"]["url"].partition(",")
    assert head == "data:video/mp4;base64"
    with av.open(io.BytesIO(base64.b64decode(content))) as container:
        rate = container.streams.video[0].average_rate
        sent = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert rate == 2 and np.array_equal(sent, engine.prompt(messages, GREEDY).media[0].frames)


def test_turns_keep_their_roles_and_order_and_vision_ids_count_over_the_whole_conversation(server: FakeServer) -> None:
    messages = [
        Message("system", "Be brief."),
        Message("user", [Image(picture(56, 56)), Text("one"), Image(picture(56, 56))]),
        Message("assistant", "two"),
        Message("user", [Text("three"), Video(clip(4)), Image(picture(56, 56))]),
    ]
    list(server.engine().stream(messages, GenerationOptions(add_vision_id=True)))
    sent = server.bodies[-1]["messages"]
    assert [turn["role"] for turn in sent] == ["system", "user", "assistant", "user"]
    assert sent[0]["content"] == "Be brief." and sent[2]["content"] == "two"
    words = [[part.get("text", part["type"]) for part in sent[i]["content"]] for i in (1, 3)]
    assert words == [
        ["Picture 1: ", "image_url", "one", "Picture 2: ", "image_url"],
        ["three", "Video 1: ", "video_url", "Picture 3: ", "image_url"],
    ]


def test_a_typed_special_token_stays_text_but_the_boxes_of_an_answer_stay_boxes(server: FakeServer) -> None:
    """The server reads its prompt as text, in which a typed <|image_pad|> would stand for a picture."""
    box = "<|object_ref_start|>cat<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>"
    list(
        server.engine().stream(
            [
                Message("user", "a <|image_pad|> b <|im_end|> c < | d <|>"),
                Message("assistant", box + "<|im_start|>"),
                Message("user", box),
            ],
            GREEDY,
        )
    )
    first, answer, second = (turn["content"] for turn in server.bodies[-1]["messages"])
    assert first[0]["text"] == "a <\u200b|image_pad|> b <\u200b|im_end|> c < | d <|>"
    assert answer == box + "<\u200b|im_start|>"
    assert "<|" not in second[0]["text"] and second[0]["text"].replace("\u200b", "") == box


def test_a_picture_in_an_answer_is_refused_before_anything_is_sent(server: FakeServer) -> None:
    messages = [*ASK, Message("assistant", [Image(picture(56, 56))]), *ASK]
    with pytest.raises(UserError, match=r"media from the user only.*assistant"):
        list(server.engine().stream(messages, GREEDY))
    assert server.bodies == []


def test_the_key_is_sent_and_shown_nowhere(server: FakeServer) -> None:
    engine = server.engine(key="sesame")
    list(engine.stream(ASK, GREEDY))
    assert server.keys == ["Bearer sesame", "Bearer sesame"]
    assert "sesame" not in repr(engine.server) + engine.name + engine.description


def test_a_strict_server_is_asked_again_without_what_it_does_not_know(server: FakeServer) -> None:
    said = {"error": {"message": "Unrecognized request arguments supplied: skip_special_tokens, top_k"}}
    server.replies = [refuse(400, said), reply("fine")]
    chunks = list(server.engine().stream(ASK, GenerationOptions(top_k=4)))
    assert text_of(chunks) == "fine"
    assert not {"skip_special_tokens", "top_k"} & set(server.bodies[-1])
    result = chunks[-1].result
    assert result is not None and "top_k does not act" in " ".join(result.notes)


# Preparing and connecting


def test_prepare_asks_nobody_and_knows_the_servers_context_length(server: FakeServer) -> None:
    engine = server.engine()
    trace = engine.prepare([Message("user", [Image(picture(224, 224)), Text("?")])], GREEDY)
    assert trace.media[0].merged_tokens == 64 and trace.context_length == 9000
    assert server.paths == ["/v1/models"]
    assert engine.pixel_limits == (3136, 12845056)  # the released checkpoints' limits


def test_the_description_says_which_counts_are_estimates(server: FakeServer) -> None:
    engine = server.engine()
    assert engine.name == "qwen" and "server (vLLM)" in engine.description
    assert "estimates" in engine.description and "nano" in engine.description


def test_neither_the_name_nor_the_description_shows_where_the_server_is(server: FakeServer) -> None:
    """They stand in the header of a page that anybody may open."""
    for model, name in (
        ("/data/models/Qwen2-VL-2B/", "Qwen2-VL-2B"),
        (r"C:\models\q", "q"),
        ("Qwen/Q-2B", "Qwen/Q-2B"),
    ):
        server.cards[0]["id"] = model
        engine = server.engine()
        assert engine.name == name and engine.server.model == model
        assert not any(part in engine.description for part in ("127.0.0.1", "http", "/", str(server.http.server_port)))


def test_with_the_checkpoints_own_directory_every_count_is_exact(server: FakeServer, checkpoint: Path) -> None:
    engine = server.engine(checkpoint=str(checkpoint))
    own = Processor.from_directory(checkpoint).process(ASK).trace
    assert engine.prepare(ASK, GREEDY).input_ids.tolist() == own.input_ids.tolist()
    assert "estimates" not in engine.description


def test_an_answer_is_never_asked_to_be_longer_than_the_context_has_room_for(
    server: FakeServer, checkpoint: Path
) -> None:
    """vLLM refuses max_tokens beyond its context. Where our count is exact, the answer may fill what is left."""
    server.cards[0]["max_model_len"] = 100
    engine = server.engine(checkpoint=str(checkpoint))
    list(engine.stream(ASK, GenerationOptions(max_new_tokens=512)))
    assert server.bodies[-1]["max_tokens"] == 100 - len(engine.prepare(ASK, GREEDY))


# Stopping


def test_cancelling_a_slow_answer_keeps_its_text_and_hangs_up(server: FakeServer) -> None:
    server.replies = [slow]
    cancel = threading.Event()
    chunks = []
    for chunk in server.engine().stream(ASK, GREEDY, cancel):
        chunks.append(chunk)
        if len(text_of(chunks)) >= 10:
            cancel.set()
    result = chunks[-1].result
    assert result is not None and result.stop_reason == "cancelled"
    assert result.text == text_of(chunks) and result.text.startswith("tick tick ")
    assert server.left.wait(20)


def test_cancelling_while_the_server_has_said_nothing_yet_hangs_up(server: FakeServer) -> None:
    server.replies = [silent]
    cancel = threading.Event()
    threading.Thread(target=lambda: server.asked.wait(20) and cancel.set(), daemon=True).start()
    result = list(server.engine().stream(ASK, GREEDY, cancel))[-1].result
    assert result is not None and (result.stop_reason, result.text) == ("cancelled", "")
    assert server.left.wait(20)


def test_cancelled_before_it_began_an_answer_asks_nobody(server: FakeServer) -> None:
    engine, cancel = server.engine(), threading.Event()
    cancel.set()
    result = list(engine.stream([Message("user", [Image(picture(56, 56))])], GREEDY, cancel))[-1].result
    assert result is not None and (result.stop_reason, result.prompt_tokens) == ("cancelled", 0)
    assert server.bodies == []


def test_leaving_the_generator_hangs_up(server: FakeServer) -> None:
    server.replies = [slow]
    answer = server.engine().stream(ASK, GREEDY)
    while not next(answer).text:
        pass
    answer.close()  # type: ignore[attr-defined]
    assert server.left.wait(20)


def test_several_conversations_run_at_once(server: FakeServer) -> None:
    """One is answered while another still streams: the engine holds no lock and no state."""
    server.replies = [slow, reply("quick")]
    engine = server.engine()
    long = engine.stream(ASK, GREEDY)
    while not next(long).text:
        pass
    assert text_of(list(engine.stream(ASK, GREEDY))) == "quick"
    long.close()  # type: ignore[attr-defined]


def test_other_positions_are_refused_before_anything_is_sent(server: FakeServer) -> None:
    with pytest.raises(UserError, match="positions itself"):
        list(server.engine().stream([Message("user", "Hi")], GenerationOptions(positions="1d")))
    assert server.bodies == []


def test_a_salt_keeps_visitors_apart_in_the_servers_prefix_cache(server: FakeServer) -> None:
    """It comes with the prompt, which the page prepares once; without one nothing is sent."""
    engine = server.engine()
    list(engine.stream(ASK, GREEDY))
    assert "cache_salt" not in server.bodies[-1]
    salted = engine.prompt(ASK, replace(GREEDY, cache_salt="a" * 32))
    list(engine.stream(ASK, GREEDY, prompt=salted))
    assert server.bodies[-1]["cache_salt"] == "a" * 32
