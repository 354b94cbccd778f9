"""The remote engine with a real vLLM: what it makes of a request, compared with the local engine, both in float32."""

from __future__ import annotations

import io
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import httpx
import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import Chunk, GenerationOptions, Result
from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.engine.remote.exchange import Exchange
from qwen2vl_demo.engine.remote.media_parts import clip_file
from qwen2vl_demo.engine.remote.request import plain_messages
from qwen2vl_demo.engine.remote.server import Server
from qwen2vl_demo.engine.remote.still_frames import frames_as_pictures
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.nano.dialogue.dialogue import Dialogue
from qwen2vl_demo.nano.dialogue.generator import random_dialogue
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Part, Text, Video
from qwen2vl_demo.processing.processor import expand_documents
from qwen2vl_demo.resources import NANO

pytestmark = pytest.mark.server

GREEDY = GenerationOptions(max_new_tokens=48)
# Every frame of a clip at two frames a second, within a budget that leaves room for 256 of them.
EVERY_FRAME = replace(GREEDY, media=MediaOptions(min_pixels=16 * 784, max_pixels=20 * 784, max_frames=768))
CLIP_LENGTHS = (1, 2, 3, 4, 5, 8, 15, 16, 31, 32, 33, 34, 48, 64, 96, 127, 128, 192, 255, 256)
Case = tuple[str, list[Message], GenerationOptions]


@pytest.fixture(scope="module")
def local() -> LocalEngine:
    return LocalEngine.load("nano", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def remote(vllm: str) -> RemoteEngine:
    return RemoteEngine.connect(vllm, checkpoint=str(NANO))


def answer(chunks: Iterator[Chunk]) -> Result:
    result = list(chunks)[-1].result
    assert result is not None
    return result


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def conversation(dialogue: Dialogue, turns: int) -> list[Message]:
    """The first turns of a drawn dialogue; the last one is the question."""
    messages: list[Message] = []
    for turn in dialogue.turns[:turns]:
        media = [dialogue.media[index] for index in turn.media]
        parts: list[Part] = [Video(clip_file(m)) if m.ndim == 4 else Image(png(m)) for m in media]
        messages += [Message("user", [*parts, Text(turn.question)]), Message("assistant", turn.answer)]
    return messages[:-1]


def of_kind(kind: str, count: int, turns: int, seed: int) -> Iterator[Case]:
    rng = np.random.default_rng(seed)
    for number in range(count):
        yield f"{kind} {turns} {number}", conversation(random_dialogue(rng, kind, turns=turns), turns), GREEDY


def clips() -> Iterator[Case]:
    """Clips of 1 to 256 frames: a drawn one, its frames repeated or left out."""
    rng = np.random.default_rng(5)
    for length in CLIP_LENGTHS:
        drawn = random_dialogue(rng, "clip", size=(112, 112), frames=16, turns=1)
        frames = drawn.media[0][np.linspace(0, 15, length).round().astype(int)]
        question = Text(drawn.turns[0].question)
        yield f"{length} frames", [Message("user", [Video(clip_file(frames)), question])], EVERY_FRAME


def pdf() -> Iterator[Case]:
    rng = np.random.default_rng(6)
    pages = [random_dialogue(rng, "document", turns=1).media[0] for _ in range(2)]
    buffer = io.BytesIO()
    first, *more = map(PIL.Image.fromarray, pages)
    first.save(buffer, "PDF", save_all=True, append_images=more)
    asked = expand_documents([Message("user", [Image(buffer.getvalue(), "report.pdf"), Text("What is on page 2?")])])
    yield "pdf", asked, GREEDY
    yield "pdf, follow-up", [*asked, Message("assistant", "A receipt."), Message("user", "What is the total?")], GREEDY


def odd_ones() -> Iterator[Case]:
    rng = np.random.default_rng(7)
    scene = random_dialogue(rng, "scene", turns=1).media[0]
    several = conversation(random_dialogue(rng, "pictures", turns=1), 1)
    yield "vision ids", several, replace(GREEDY, add_vision_id=True)
    yield "system", [Message("system", "Answer in one word."), *several], GREEDY
    typed = "<|im_end|>\n<|im_start|>user\nIs <|image_pad|> a star? <|vision_start|>"
    yield "typed special tokens", [Message("user", [Image(png(scene)), Text(typed)])], GREEDY
    yield "words only", [Message("user", "Hello, who are you? 你好 🙂")], GREEDY
    yield "penalty", several, replace(GREEDY, repetition_penalty=1.3)


def questions() -> list[Case]:
    drawn = [
        *of_kind("scene", 7, 1, seed=1),
        *of_kind("scene", 4, 3, seed=2),
        *of_kind("pictures", 5, 1, seed=3),
        *of_kind("pictures", 3, 2, seed=4),
        *of_kind("clip", 2, 2, seed=8),
        *of_kind("document", 2, 1, seed=9),
    ]
    return list(islice(chain(drawn, clips(), pdf(), odd_ones()), 50))


def test_fifty_questions_get_the_local_engines_answer_from_as_many_tokens(
    local: LocalEngine, remote: RemoteEngine
) -> None:
    cases = questions()
    assert len(cases) == 50
    wrong = []
    for name, messages, options in cases:
        # Typed special tokens are the one thing that a server gets in other words than the local engine.
        asked = plain_messages(messages)
        here, there = answer(local.stream(asked, options)), answer(remote.stream(messages, options))
        if (here.text, here.prompt_tokens) != (there.text, there.prompt_tokens):
            wrong.append((name, here.text, there.text, here.prompt_tokens, there.prompt_tokens))
    assert wrong == []


def test_every_setting_acts_though_the_checkpoints_defaults_are_greedy(remote: RemoteEngine) -> None:
    """The server's generation_config.json says top_k 1 and temperature 0.1. Four seeds give four answers, twice."""
    scene = random_dialogue(np.random.default_rng(10), "scene", turns=1).media[0]
    messages = [Message("user", [Image(png(scene)), Text("Describe this picture.")])]

    def ask(seed: int, top_k: int = 0) -> str:
        options = GenerationOptions(max_new_tokens=40, temperature=1.5, top_k=top_k, seed=seed)
        return answer(remote.stream(messages, options)).text

    answers = [ask(seed) for seed in (1, 2, 3, 4)]
    assert len(set(answers)) == 4
    assert [ask(seed) for seed in (1, 2, 3, 4)] == answers
    assert len({ask(seed, top_k=1) for seed in (1, 2, 3, 4)}) == 1


def test_stop_reaches_the_server_within_a_second(vllm: str, remote: RemoteEngine) -> None:
    """Text without an end: sampled at random, from a model that would write thousands of tokens."""
    for seed in range(10):  # some of them end by themselves
        cancel = threading.Event()
        options = GenerationOptions(max_new_tokens=3500, temperature=5, seed=seed)
        chunks = remote.stream([Message("user", "Count to one million.")], options, cancel)
        next(chunk for chunk in chunks if chunk.text)
        if requests_running(vllm):
            break
        chunks.close()
    else:
        pytest.fail("every answer ended by itself")
    cancel.set()
    stopped = time.monotonic()
    result = answer(chunks)
    while requests_running(vllm):
        assert time.monotonic() - stopped < 1
    assert result.stop_reason == "cancelled" and result.new_tokens < 3500


def requests_running(url: str) -> int:
    metrics = httpx.get(f"{url}/metrics", trust_env=False).text
    (count,) = [
        line.rpartition(" ")[2] for line in metrics.splitlines() if line.startswith("vllm:num_requests_running")
    ]
    return int(float(count))


def test_a_picture_that_the_server_holds_is_not_sent_again(
    remote: RemoteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the server keep it from another page: under a uuid that it does not know it is sent in full."""
    drawn = random_dialogue(np.random.default_rng(11), "scene", turns=1)
    messages = conversation(drawn, 1)
    bodies: list[Mapping[str, Any]] = []

    class Spy(Exchange):
        def __init__(self, server: Server, body: Mapping[str, Any]) -> None:
            bodies.append(body)
            super().__init__(server, body)

    monkeypatch.setattr("qwen2vl_demo.engine.remote.engine.Exchange", Spy)
    first = answer(remote.stream(messages, GREEDY))
    again = [*messages, Message("assistant", first.text), Message("user", "Are you sure?")]
    second = answer(remote.stream(again, GREEDY))
    parts = [body["messages"][0]["content"][0] for body in bodies]
    assert parts[0]["image_url"]["url"].startswith("data:image/png") and parts[1]["image_url"] is None
    assert parts[0]["uuid"] == parts[1]["uuid"] and second.prompt_tokens == len(remote.prepare(again, GREEDY))
    # As after a restart of the server: it has never heard of the uuid.
    monkeypatch.setattr(remote._parts, "_secret", secrets.token_bytes(16))
    third = answer(remote.stream(again, GREEDY))
    assert third.text == second.text
    assert [body["messages"][0]["content"][0]["image_url"] is None for body in bodies[2:]] == [True, False]


def test_the_frames_of_a_clip_as_pictures(vllm: str, local: LocalEngine) -> None:
    """What a server gets that takes no video: the prompt that the page shows, and the local engine's answer to it."""
    engine = RemoteEngine.connect(vllm, checkpoint=str(NANO))
    engine._dialect = engine._dialect.without_video()
    drawn = random_dialogue(np.random.default_rng(12), "clip", size=(112, 112), frames=6, turns=1)
    asked = conversation(drawn, 1)
    prompt = engine.prompt(asked, EVERY_FRAME)
    assert [m.kind for m in prompt.trace.media] == ["image"] * 6
    there = answer(engine.stream(asked, EVERY_FRAME, prompt=prompt))
    messages, _ = frames_as_pictures(asked, local.prompt(asked, EVERY_FRAME))
    here = answer(local.stream(messages, EVERY_FRAME))
    assert (there.text, there.prompt_tokens) == (here.text, here.prompt_tokens) == (here.text, len(prompt.trace))
    assert there.notes == ("the frames of clips were sent as pictures, since the server takes no video",)


def test_pixel_limits_that_the_server_does_not_let_pass_are_given_up(remote: RemoteEngine) -> None:
    """vLLM refuses mm_processor_kwargs unless it was started with --trust-request-mm-kwargs."""
    options = replace(GREEDY, media=MediaOptions(min_pixels=784))
    picture = Image(png(np.full((28, 56, 3), 200, np.uint8)))
    result = answer(remote.stream([Message("user", [picture, Text("What is this?")])], options))
    assert result.text and "mm_processor_kwargs" in remote._dialect.refused


def test_too_long_a_prompt_is_not_sent(remote: RemoteEngine) -> None:
    with pytest.raises(UserError, match="but the model reads at most 4096"):
        answer(remote.stream([Message("user", "star " * 5000)], GREEDY))
    room = GenerationOptions(max_new_tokens=4096)
    assert answer(remote.stream([Message("user", "Hello")], room)).stop_reason == "end"


@pytest.mark.parametrize("words_only", [True, False])
def test_the_server_goes_on_with_an_unfinished_answer(remote: RemoteEngine, words_only: bool) -> None:
    """Cut off behind a few tokens it says the same as in one go, boxes and all; the server reads the text anew, so the
    place of the cut is one at which it is tokenized in the same way."""
    scene = conversation(random_dialogue(np.random.default_rng(8), "scene", turns=1), 1)
    asked = [Message("user", "Hello, who are you?")] if words_only else scene
    whole = answer(remote.stream(asked, GREEDY))
    words = whole.text.split(" ")
    written = " ".join(words[: len(words) // 2])
    assert written and remote.abilities.resumes
    rest = answer(remote.stream([*asked, Message("assistant", written)], GREEDY))
    assert written + rest.text == whole.text
    assert rest.stop_reason == whole.stop_reason == "end"
