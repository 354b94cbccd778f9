"""The remote engine against a real HTTP server that speaks OpenAI's event stream: what is sent, what comes back, and
how every way to fail reads. The server is the standard library's, on a thread; it says what each test scripts."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.protocol import Chunk, GenerationOptions
from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.engine.remote.request import PNG_BYTES, clip_file
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video
from qwen2vl_demo.processing.processor import Processor
from qwen2vl_demo.settings import Settings

ASK = [Message("user", "What is this?")]
GREEDY = GenerationOptions(max_new_tokens=16)


class FakeServer:
    """Answers GET /v1/models with `cards`, and each POST with the next of `replies` (the last one again and again)."""

    def __init__(self) -> None:
        self.cards: list[dict[str, Any]] = [{"id": "qwen", "owned_by": "vllm", "max_model_len": 9000}]
        self.models_status = 200
        self.replies: list[Callable[[Handler], None]] = [reply("Hello", " there")]
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.asked = threading.Event()  # set when `silent` has a request
        self.left = threading.Event()  # set when a client hung up while being answered
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.script = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

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
        self.say(self.script.models_status, {"object": "list", "data": self.script.cards})

    def do_POST(self) -> None:
        self.script.paths.append(self.path)
        self.script.keys.append(self.headers["Authorization"])
        self.script.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        replies = self.script.replies
        (replies.pop(0) if len(replies) > 1 else replies[0])(self)

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


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    yield fake
    fake.http.shutdown()
    fake.http.server_close()


def picture(height: int, width: int) -> PIL.Image.Image:
    rows, columns = np.indices((height, width))
    return PIL.Image.fromarray(np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=-1).astype(np.uint8))


def clip(frames: int, height: int = 112, width: int = 140) -> bytes:
    """Frames of one grey each, two a second."""
    return clip_file(np.stack([np.full((height, width, 3), 20 + 10 * i, np.uint8) for i in range(frames)]))


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


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


def test_the_request_holds_the_options_and_only_those_that_matter(server: FakeServer) -> None:
    engine = server.engine()
    list(engine.stream(ASK, GREEDY))
    body = server.bodies[-1]
    assert (body["model"], body["max_tokens"], body["temperature"], body["stream"]) == ("qwen", 16, 0, True)
    assert body["skip_special_tokens"] is False  # boxes are special tokens
    assert not {"seed", "top_k", "repetition_penalty"} & set(body)
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


def test_a_picture_whose_png_would_be_large_goes_as_a_jpeg(server: FakeServer) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    list(server.engine().stream([Message("user", [Image(PIL.Image.fromarray(noise))])], GREEDY))
    url = content_of(server)[0]["image_url"]["url"]
    assert url.startswith("data:image/jpeg;base64,") and len(url) < 2 * PNG_BYTES


def test_vllm_gets_the_sampled_frames(server: FakeServer) -> None:
    engine = server.engine()
    messages = [Message("user", [Video(clip(8)), Text("What happens?")])]
    list(engine.stream(messages, GREEDY))
    head, *frames = content_of(server)[0]["video_url"]["url"].split(",")
    medium = engine.prepare(messages, GREEDY).media[0]
    assert head == "data:video/jpeg;base64" and len(frames) == len(medium.frame_indices) == 8
    opened = [PIL.Image.open(io.BytesIO(base64.b64decode(frame))) for frame in frames]
    assert {(frame.height, frame.width) for frame in opened} == {medium.resized_size}
    greys = [float(np.asarray(frame).mean()) for frame in opened]
    assert greys == pytest.approx([20 + 10 * i for i in range(8)], abs=4)


def test_other_servers_get_a_clip_from_which_two_frames_a_second_are_exactly_ours(server: FakeServer) -> None:
    server.cards[0]["owned_by"] = "sglang"
    engine = server.engine()
    messages = [Message("user", [Video(clip(8))])]
    list(engine.stream(messages, GREEDY))
    head, _, content = content_of(server)[0]["video_url"]["url"].partition(",")
    assert head == "data:video/mp4;base64"
    with av.open(io.BytesIO(base64.b64decode(content))) as container:
        rate = container.streams.video[0].average_rate
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    medium = engine.prepare(messages, GREEDY).media[0]
    assert rate == 2 and len(frames) == len(medium.frame_indices)
    assert {frame.shape[:2] for frame in frames} == {medium.resized_size}
    assert [float(frame.mean()) for frame in frames] == pytest.approx([20 + 10 * i for i in range(8)], abs=4)


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


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_every_way_to_write_the_address_reaches_the_same_place(server: FakeServer, ending: str) -> None:
    list(RemoteEngine.connect(server.url + ending).stream(ASK, GREEDY))
    assert server.paths == ["/v1/models", "/v1/chat/completions"]


def test_a_strict_server_is_asked_again_without_what_it_does_not_know(server: FakeServer) -> None:
    said = {"error": {"message": "Unrecognized request arguments supplied: skip_special_tokens, top_k"}}
    server.replies = [refuse(400, said), reply("fine")]
    chunks = list(server.engine().stream(ASK, GenerationOptions(top_k=4)))
    assert text_of(chunks) == "fine"
    assert not {"skip_special_tokens", "top_k"} & set(server.bodies[-1])
    assert any("top_k" in (chunk.status or "") for chunk in chunks)


# Preparing and connecting


def test_prepare_asks_nobody_and_knows_the_servers_context_length(server: FakeServer) -> None:
    engine = server.engine()
    trace = engine.prepare([Message("user", [Image(picture(224, 224)), Text("?")])], GREEDY)
    assert trace.media[0].merged_tokens == 64 and trace.context_length == 9000
    assert server.paths == ["/v1/models"]
    assert engine.pixel_limits == (3136, 12845056)  # the released checkpoints' limits


def test_the_description_says_which_counts_are_estimates(server: FakeServer) -> None:
    engine = server.engine()
    assert engine.name == "qwen" and server.url in engine.description
    assert "estimates" in engine.description and "nano" in engine.description


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


def test_the_only_model_is_taken_and_several_want_a_choice(server: FakeServer) -> None:
    server.cards = [{"id": "b"}, {"id": "a"}]
    with pytest.raises(UserError, match=r"serves a, b.*--engine-model"):
        server.engine()
    assert server.engine(model="b").server.model == "b"
    with pytest.raises(UserError, match=r"'c'.*serves a, b.*--engine-model"):
        server.engine(model="c")


def test_a_server_that_does_not_list_its_models_needs_the_name_only(server: FakeServer) -> None:
    server.models_status = 404
    with pytest.raises(UserError, match="--engine-model"):
        server.engine()
    assert text_of(list(server.engine(model="qwen").stream(ASK, GREEDY))) == "Hello there"


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
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        with pytest.raises(UserError, match="--engine-url") as caught:
            RemoteEngine.connect(f"http://ann:sesame@127.0.0.1:{reserved.getsockname()[1]}")
    assert "sesame" not in str(caught.value) and str(reserved) and "127.0.0.1" in str(caught.value)


# How failures read


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (401, {"error": "Unauthorized"}, ["--engine-key", "401"]),
        (404, {"error": {"message": "The model `x` does not exist."}}, ["'qwen'", "--engine-model"]),
        (404, {"detail": "Not Found"}, ["--engine-url", "/v1"]),
        (400, {"message": "This model's maximum context length is 4096 tokens."}, ["too long", "4096", "max_pixels"]),
        (
            400,
            {"error": {"message": "max_tokens=8000 cannot be greater than max_model_len=4096."}},
            ["too long", "length"],
        ),
        (400, {"object": "error", "message": "top_p must be in (0, 1]"}, ["top_p must be", "400"]),
        (422, {"detail": [{"msg": "field required"}]}, ["field required"]),
        (413, "Payload Too Large", ["413", "smaller"]),
        (429, {"error": {"message": "Rate limit"}}, ["busy", "Rate limit"]),
        (500, {"error": {"message": "CUDA out of\nmemory"}}, ["500", "CUDA out of memory", "log"]),
        (503, "", ["503", "log"]),
    ],
)
def test_a_refusal_is_one_sentence_that_says_what_to_change(
    server: FakeServer, status: int, answer: Any, words: list[str]
) -> None:
    server.replies = [refuse(status, answer)]
    with pytest.raises(UserError) as caught:
        list(server.engine().stream(ASK, GREEDY))
    sentence = str(caught.value)
    assert all(word in sentence for word in words), sentence
    assert "\n" not in sentence and sentence.endswith(".") and server.url in sentence


def test_a_page_instead_of_a_stream_is_a_wrong_address(server: FakeServer) -> None:
    server.replies = [refuse(200, "<html>Welcome</html>", "text/html")]
    with pytest.raises(UserError, match=r"text/html.*--engine-url"):
        list(server.engine().stream(ASK, GREEDY))


@pytest.mark.parametrize("data", [b"data: not json\n\n", b"data: [1]\n\n", b'data: {"choices": 5}\n\n'])
def test_events_that_are_no_chat_completion_are_a_wrong_address(server: FakeServer, data: bytes) -> None:
    server.replies = [stream(data)]
    with pytest.raises(UserError, match="--engine-url"):
        list(server.engine().stream(ASK, GREEDY))


@pytest.mark.parametrize(
    "error", [{"message": "engine died", "code": 500}, {"message": "engine died", "code": "oh"}, "engine died"]
)
def test_an_error_in_the_middle_of_a_stream_keeps_the_text_before_it(server: FakeServer, error: Any) -> None:
    server.replies = [stream(delta("so far"), event({"error": error}))]
    seen = []
    with pytest.raises(UserError, match="engine died"):
        for chunk in server.engine().stream(ASK, GREEDY):
            seen.append(chunk)
    assert text_of(seen) == "so far"


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
    with pytest.raises(UserError, match=r"broke before.*--engine-url"):
        for chunk in server.engine().stream(ASK, GREEDY):
            seen.append(chunk)
    assert text_of(seen) == "Hel"


def test_silence_ends_after_the_allowed_time_and_names_its_flag(server: FakeServer) -> None:
    server.replies = [silent]
    with pytest.raises(UserError, match=r"silent for 0\.3 seconds.*--engine-timeout"):
        list(server.engine(timeout=0.3).stream(ASK, GREEDY))


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
