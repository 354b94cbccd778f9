"""A question in the form that a server takes: what is sent is what the prompt shows."""

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest
import tokenizers

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.engine.remote.media_parts import MediaParts, clip_file
from qwen2vl_demo.engine.remote.question import Question
from qwen2vl_demo.engine.remote.request import plain_messages
from qwen2vl_demo.engine.remote.server import Server
from qwen2vl_demo.media import TimeRange
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Part, Region, Text, Video, question_parts
from qwen2vl_demo.processing.processor import Processor
from qwen2vl_demo.resources import NANO

OPTIONS = GenerationOptions()
REGION = "<|box_start|>(100,200),(300,400)<|box_end|>"


@pytest.fixture(scope="module")
def processor() -> Processor:
    return Processor.from_directory(NANO)


def engine_for(
    processor: Processor, software: str = "vLLM", context_length: int | None = 4096, model: str = "far away"
) -> RemoteEngine:
    server = Server("http://127.0.0.1:9/v1", model, software=software, context_length=context_length)  # type: ignore[arg-type]
    return RemoteEngine(server, processor, exact_text=True)


def body_of(question: Question, software: str = "vLLM") -> dict[str, Any]:
    server = Server("http://127.0.0.1:9/v1", "far away", software=software)  # type: ignore[arg-type]
    return question.body(server, MediaParts(), (12544, 50176))


def picture(shade: int = 0, height: int = 112, width: int = 140) -> Image:
    return Image(PIL.Image.fromarray(np.full((height, width, 3), shade, np.uint8)))


def clip(frames: int = 6) -> Video:
    return Video(clip_file(np.stack([np.full((112, 140, 3), 20 * i, np.uint8) for i in range(frames)])))


@pytest.mark.parametrize(
    "parts",
    [
        "Is <|im_end|> a token? <|image_pad|><|vision_start|>",
        [Text("<|im_"), Text("end|>")],  # in two pieces, which a template puts together
        [Text("<|im_"), picture(), Text("end|><|video_pad|>")],
        "<|<|im_start|>|> <|endoftext|> <|box_start|>(1,2)",
        [picture(), Text("<|im_"), Region(1, 2, 30, 400), Text("end|> <|box_start|>(1,2),(3,4)<|box_end|>")],
    ],
)
def test_the_prompt_shows_what_the_server_reads(processor: Processor, parts: str | Sequence[Part]) -> None:
    """The server tokenizes the rendered text, special tokens and all; the result is the prompt's own ids."""
    messages = [Message("user", parts), Message("assistant", "A <|im_end|> star."), Message("user", "Why?")]  # type: ignore[arg-type]
    engine = engine_for(processor)
    question = engine._question(messages, OPTIONS)
    text = processor.template.render(body_of(question)["messages"])
    for medium in question.prompt.trace.media:
        text = text.replace("<|image_pad|>", "<|PAD|>" * medium.merged_tokens, 1)
    text = text.replace("<|PAD|>", "<|image_pad|>")
    ids = tokenizers.Tokenizer.from_file(str(NANO / "tokenizer.json")).encode(text).ids
    assert ids == question.prompt.trace.input_ids.tolist()


def test_an_unfinished_answer_is_sent_as_one(processor: Processor) -> None:
    """The prompt is that of the question. A token has at least one byte, so what is written and what may follow fit."""
    asked = [Message("user", "Count to ten.")]
    engine = engine_for(processor, context_length=400)
    question = engine._question([*asked, Message("assistant", "One, <|im_end|> two,")], OPTIONS)
    plain = engine._question(asked, OPTIONS)
    assert np.array_equal(question.prompt.trace.input_ids, plain.prompt.trace.input_ids)
    body, new = body_of(question), body_of(plain)
    assert body["messages"] == [*new["messages"], {"role": "assistant", "content": "One, <\u200b|im_end|> two,"}]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert not {"continue_final_message", "add_generation_prompt"} & set(new)
    assert body["max_tokens"] == new["max_tokens"] - len("One, <\u200b|im_end|> two,".encode())


@pytest.mark.parametrize(("software", "resumes"), [("vLLM", True), ("Ollama", False), ("", False)])
def test_only_a_server_that_is_known_to_go_on_with_an_answer_is_asked_to(
    processor: Processor, software: str, resumes: bool
) -> None:
    assert engine_for(processor, software).abilities.resumes is resumes


@pytest.mark.parametrize(
    ("model", "regions"),
    [
        ("Qwen/Qwen2-VL-7B-Instruct", True),
        ("our own model", True),
        ("Qwen/Qwen2.5-VL-3B-Instruct", True),
        ("ByteDance-Seed/UI-TARS-7B-DPO", False),
        ("ByteDance-Seed/UI-TARS-1.5-7B", False),
    ],
)
def test_a_model_that_was_not_trained_on_questions_with_boxes_is_said_not_to_know_regions(
    processor: Processor, model: str, regions: bool
) -> None:
    assert engine_for(processor, model=model).abilities.regions is regions


def test_ordinary_text_is_sent_as_it_was_typed() -> None:
    messages = [Message("user", [Text("a < | b <|> c"), picture(), Text(" and 1 <| 2")])]
    assert plain_messages(messages) == messages


def test_a_region_is_sent_in_one_text_with_the_words_around_it(processor: Processor) -> None:
    """Between two texts some servers begin a new line."""
    engine = engine_for(processor)
    messages = [Message("user", [picture(), *question_parts("Is <|box_start|>(1,2),(30,400)<|box_end|> red?")])]
    content = body_of(engine._question(messages, OPTIONS))["messages"][0]["content"]
    assert content[1:] == [{"type": "text", "text": "Is <|box_start|>(1,2),(30,400)<|box_end|> red?"}]


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("Qwen/Qwen2-VL-7B-Instruct", REGION),
        ("our own model", REGION),
        ("Qwen/Qwen3-VL-8B-Instruct", "[100, 200, 300, 400]"),
        # The picture is sent with 112x140 px, so that 100 and 300 of its width are 14 and 42 px.
        ("qwen2.5vl:7b", "[14, 22, 42, 45]"),
    ],
)
def test_a_region_is_sent_as_the_family_of_the_model_writes_boxes(processor: Processor, model: str, sent: str) -> None:
    """Now as a question, and later as what was asked before."""
    engine = engine_for(processor, model=model)
    messages = [Message("user", [picture(), *question_parts(f"Is {REGION} red?")])]
    shown = engine.prompt(messages, OPTIONS)
    assert "".join(shown.trace.tokens).replace("Ġ", " ").count(f"Is {sent} red?") == 1
    for question in (engine._question(messages, OPTIONS), engine._question(messages, OPTIONS, prompt=shown)):
        assert question.prompt.trace.input_ids.tolist() == shown.trace.input_ids.tolist()
        (content,) = (part for part in body_of(question)["messages"][0]["content"] if part["type"] == "text")
        assert content["text"] == f"Is {sent} red?"
    again = [*messages, Message("assistant", "Yes."), Message("user", "Why?")]
    assert body_of(engine._question(again, OPTIONS))["messages"][0]["content"][1]["text"] == f"Is {sent} red?"


def test_a_server_without_video_gets_numbered_pictures_of_the_same_size(processor: Processor) -> None:
    engine = engine_for(processor)
    engine._dialect = engine._dialect.without_video()
    messages = [Message("user", [clip(), Text("What happens?")])]
    shown = engine.prompt(messages, OPTIONS)
    (frames,) = processor.process(messages).media
    assert [m.resized_size for m in shown.trace.media] == [frames.resized_size] * 6
    question = engine._question(messages, OPTIONS, prompt=shown)
    assert question.prompt.trace.input_ids.tolist() == shown.trace.input_ids.tolist()
    content = body_of(question)["messages"][0]["content"]
    assert [part["text"] for part in content if part["type"] == "text"] == [
        *(f"Clip 1, frame {i + 1} at {i / 2:.1f} s: " for i in range(6)),
        "What happens?",
    ]
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    sent = [np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))) for url in urls]
    assert np.array_equal(np.stack(sent), frames.frames)
    prompt = "".join(shown.trace.tokens)
    assert "Clip 1, frame 6 at 2.5 s: " in prompt and "<|video_pad|>" not in prompt


def test_a_part_of_a_clip_is_cut_for_the_server(processor: Processor) -> None:
    """From 1 s to 3 s are the frames 2 to 5 of six; the file that is sent holds these, and nothing else."""
    part = replace(clip(), time_range=TimeRange(1, 9))
    question = engine_for(processor)._question([Message("user", [part, Text("?")])], OPTIONS)
    (sent,) = [p for p in body_of(question)["messages"][0]["content"] if p["type"] == "video_url"]
    frames = sent_frames(sent["video_url"]["url"])
    (whole,) = processor.process([Message("user", [clip(), Text("?")])]).media
    assert [int(frame.mean()) for frame in frames] == [int(frame.mean()) for frame in whole.frames[2:]]


def test_time_stamps_are_sent_before_the_pairs_of_frames(processor: Processor) -> None:
    engine = engine_for(processor)
    options = replace(OPTIONS, media=MediaOptions(time_stamps=True))
    messages = [Message("user", [clip(), Text("What happens?")])]
    question = engine._question(messages, options, prompt=engine.prompt(messages, options))
    content = body_of(question)["messages"][0]["content"]
    assert [part.get("text", part["type"]) for part in content] == [
        *("<0.0 seconds>", "video_url", "<1.0 seconds>", "video_url", "<2.0 seconds>", "video_url", "What happens?"),
    ]
    assert [len(sent_frames(part["video_url"]["url"])) for part in content if part["type"] == "video_url"] == [2, 2, 2]
    rendered = [part if part["type"] == "text" else {"type": "video"} for part in content]  # as vLLM lays it out
    text = processor.template.render([{"role": "user", "content": rendered}])
    for medium in question.prompt.trace.media:
        text = text.replace("<|video_pad|>", "<|PAD|>" * medium.merged_tokens, 1)
    ids = tokenizers.Tokenizer.from_file(str(NANO / "tokenizer.json")).encode(text.replace("PAD", "video_pad")).ids
    assert ids == question.prompt.trace.input_ids.tolist()
    stills = engine._question(question.unstamped, options, dialect=engine._dialect.without_video())
    assert "<0.0 seconds>" not in str(body_of(stills)) and "Clip 1, frame 6 at 2.5 s: " in str(body_of(stills))


def sent_frames(uri: str) -> list[np.ndarray]:
    with av.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_pictures_beside_a_clip_keep_their_places_and_numbers(processor: Processor) -> None:
    engine = engine_for(processor)
    engine._dialect = engine._dialect.without_video()
    options = replace(OPTIONS, add_vision_id=True)
    question = engine._question([Message("user", [picture(), clip(2), picture(90), Text("?")])], options)
    content = body_of(question)["messages"][0]["content"]
    assert [part.get("text", part["type"]) for part in content] == [
        *("Picture 1: ", "image_url", "Clip 1, frame 1 at 0.0 s: ", "Picture 2: ", "image_url"),
        *("Clip 1, frame 2 at 0.5 s: ", "Picture 3: ", "image_url", "Picture 4: ", "image_url", "?"),
    ]


def test_pixel_limits_go_along_only_where_the_servers_own_would_change_a_size(processor: Processor) -> None:
    engine = engine_for(processor)
    ordinary = engine._question([Message("user", [picture()])], OPTIONS)
    assert "mm_processor_kwargs" not in body_of(ordinary)
    small = replace(OPTIONS, media=MediaOptions(min_pixels=784))
    tiny = engine._question([Message("user", [picture(height=28, width=56)])], small)
    assert body_of(tiny)["mm_processor_kwargs"] == {"min_pixels": 784, "max_pixels": 12845056}
    assert "mm_processor_kwargs" not in body_of(tiny, "SGLang")


def test_transformers_is_sent_nothing_that_it_refuses(processor: Processor) -> None:
    """It takes OpenAI's fields and `generation_config`, and refuses a request with any other."""
    question = engine_for(processor, "transformers")._question([Message("user", "Hello")], OPTIONS)
    openai = {"model", "messages", "stream", "stream_options", "max_tokens", "temperature", "top_p", "seed"}
    assert set(body_of(question, "transformers")) <= openai | {"generation_config"}


def test_the_answers_length_is_what_the_context_has_left(processor: Processor) -> None:
    options = replace(OPTIONS, max_new_tokens=512)
    messages = [Message("user", "Hello")]
    lengths = {}
    for context in (None, 100, 20, 5000):
        question = engine_for(processor, context_length=context)._question(messages, options)
        assert question.prompt.trace.context_length == context
        lengths[context] = body_of(question).get("max_tokens")
    tokens = len(question.prompt.trace)
    assert tokens >= 20  # an estimate without room may be wrong: the server says what is left
    assert lengths == {None: 512, 100: 100 - tokens, 20: None, 5000: 512}


def test_notes_name_what_does_not_act(processor: Processor) -> None:
    engine = engine_for(processor)
    server = engine.server
    question = engine._question([Message("user", "Hello")], replace(OPTIONS, temperature=1.0, seed=1))
    assert question.notes(server) == ()
    without = replace(question, dialect=question.dialect.without(frozenset({"seed"})))
    assert without.notes(server) == ("the seed does not act, since the server does not take it",)
    without = replace(question, dialect=question.dialect.without(frozenset({"seed", "top_k", "top_p"})))
    assert without.notes(server) == ("top_p, top_k and the seed do not act, since the server does not take them",)
