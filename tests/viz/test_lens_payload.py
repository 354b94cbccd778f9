"""What the browser is given equals the trace, number for number, and the pixels that were cut."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st

from qwen2vl_demo.engine.processors import reference_processor
from qwen2vl_demo.geometry import VisionSpan, mrope_position_ids
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video
from qwen2vl_demo.processing.processor import Processor, Prompt
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.viz.data_uri import encode_frames
from qwen2vl_demo.viz.lens_payload import new_image_cache, payload, role_spans
from qwen2vl_demo.viz.run_length import from_runs, to_runs
from tests.ui.conftest import clip


@pytest.fixture(scope="module")
def processor() -> Processor:
    return reference_processor()


def photograph(size: tuple[int, int]) -> PIL.Image.Image:
    return PIL.Image.fromarray(skimage.data.coffee()).resize(size)


def view(prompt: Prompt, **options: Any) -> dict[str, Any]:
    """The payload as a browser reads it."""
    made = payload(prompt.trace, [m.frames for m in prompt.media], **options)
    return json.loads(json.dumps(made))


def shown(image: dict[str, Any]) -> np.ndarray:
    """The frames of an image of the payload, cut apart again."""
    sheet = PIL.Image.open(io.BytesIO(base64.b64decode(image["uri"].partition(",")[2])))
    pixels, h, w = np.asarray(sheet.convert("RGB")), image["height"], image["width"]
    corners = [divmod(i, image["columns"]) for i in range(image["count"])]
    return np.stack([pixels[row * h : (row + 1) * h, column * w : (column + 1) * w] for row, column in corners])


def spread(tokens: list[Any]) -> list[str]:
    return [piece for t in tokens for piece in ([t] if isinstance(t, str) else [t[0]] * t[1])]


@given(st.lists(st.integers(-5, 5) | st.integers(0, 200_000), max_size=60))
def test_runs_give_every_sequence_back(values: list[int]) -> None:
    array = np.array(values, dtype=np.int64)
    assert from_runs(to_runs(array)).tolist() == values


def test_runs_are_few_for_a_large_picture() -> None:
    """56 rows: t is one run with the words around it on either side, h and w have one a row."""
    positions, _ = mrope_position_ids(3200, [VisionSpan(20, (1, 112, 112))])
    assert [len(to_runs(axis)) // 3 <= most for axis, most in zip(positions, (3, 60, 60), strict=True)] == [True] * 3


def test_every_number_is_the_traces(processor: Processor, tmp_path: Path) -> None:
    """Two turns, two photographs of different sizes, a clip and a GIF."""
    gif = tmp_path / "wave.gif"
    waves = [PIL.Image.new("RGB", (60, 40), (40 * i, 80, 90)) for i in range(6)]
    waves[0].save(gif, save_all=True, append_images=waves[1:], duration=500)
    messages = [
        Message("user", [Image(photograph((500, 333)), "a.jpg"), Text("What is it?")]),
        Message("assistant", "A cup of coffee."),
        Message(
            "user", [Video(clip(tmp_path / "b.mp4")), Image(photograph((201, 640))), Video(gif), Text("And these?")]
        ),
    ]
    prompt = processor.process(messages, MediaOptions(max_pixels=300 * 784))
    trace, made = prompt.trace, view(prompt)
    assert from_runs(made["input_ids"]).tolist() == trace.input_ids.tolist()
    assert [from_runs(axis).tolist() for axis in made["position_ids"]] == trace.position_ids.tolist()
    assert tuple(spread(made["tokens"])) == trace.tokens
    assert (made["length"], made["rope_delta"], made["context_length"]) == (len(trace), trace.rope_delta, 32_768)
    assert [m["kind"] for m in made["media"]] == ["image", "video", "image", "video"]
    for medium, known in zip(made["media"], trace.media, strict=True):
        for name in ("name", "message", "part", "min_pixels", "max_pixels", "total_frames", "digest", "merged_tokens"):
            assert medium[name] == getattr(known, name)
        for name in ("original_size", "resized_size", "grid_thw", "span", "timestamps", "frame_indices"):
            assert tuple(medium[name]) == getattr(known, name)
    assert [t["role"] for t in made["turns"]] == ["system", "user", "assistant", "user", "assistant"]


def test_the_pictures_are_the_pixels_that_were_cut(processor: Processor, tmp_path: Path) -> None:
    messages = [Message("user", [Image(photograph((400, 300))), Video(clip(tmp_path / "b.mp4"))])]
    prompt = processor.process(messages, MediaOptions(max_pixels=100 * 784))
    for medium, cut in zip(view(prompt)["media"], prompt.media, strict=True):
        assert medium["shown"]["lossless"] and medium["shown"]["scale"] == 1
        assert np.array_equal(shown(medium["shown"]), cut.frames)


def test_a_large_picture_is_shown_smaller_and_stays_itself(processor: Processor) -> None:
    """1568x1568 px are 3,136 tokens. What is shown, compared with the pixels made as small: a few grey levels apart."""
    picture = PIL.Image.fromarray(skimage.data.astronaut()).resize((1568, 1568), PIL.Image.Resampling.BICUBIC)
    prompt = processor.process([Message("user", [Image(picture), Text("?")])])
    made = view(prompt)
    image = made["media"][0]["shown"]
    assert made["media"][0]["merged_tokens"] == 3136 and max(image["height"], image["width"]) <= 1280
    size = (image["width"], image["height"])
    expected = np.asarray(PIL.Image.fromarray(prompt.media[0].frames[0]).resize(size, PIL.Image.Resampling.BILINEAR))
    assert np.abs(shown(image)[0].astype(int) - expected).mean() < 4
    assert len(json.dumps(made)) < 500_000


@pytest.mark.parametrize("kind", ["noise", "many pictures", "much text"])
def test_a_view_stays_below_half_a_megabyte(processor: Processor, kind: str) -> None:
    """Noise is what no picture format makes small."""
    noise = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (1100, 900, 3), np.uint8))
    messages = {
        "noise": [Message("user", [Image(noise)])],
        "many pictures": [Message("user", [Image(noise.rotate(5 * i)) for i in range(30)])],
        "much text": [Message("user", "word and word, " * 3000)],
    }[kind]
    prompt = processor.process(messages, MediaOptions(max_pixels=400 * 784))
    originals = [np.asarray(noise)] * len(prompt.media)
    assert len(json.dumps(view(prompt, originals=originals))) < 500_000


def test_a_long_clip_is_shown_small_and_whole() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (200, 112, 140, 3), np.uint8)
    made = encode_frames(frames, 340_000)
    assert len(made.uri) <= 340_000 and made.count == 200
    assert shown(made.to_dict()).shape == (200, made.height, made.width, 3)


def test_what_came_stands_beside_what_it_became(processor: Processor) -> None:
    picture = photograph((300, 200))
    prompt = processor.process([Message("user", [Image(picture)])], MediaOptions(max_pixels=40 * 784))
    (medium,) = view(prompt, originals=[np.asarray(picture)])["media"]
    assert shown(medium["original"]).shape == (1, 200, 300, 3)
    assert view(prompt)["media"][0]["original"] is None


def test_equal_prompts_have_equal_keys_and_others_not(processor: Processor) -> None:
    def key(size: tuple[int, int], words: str) -> str:
        return view(processor.process([Message("user", [Image(photograph(size)), Text(words)])]))["key"]

    assert key((90, 90), "a") == key((90, 90), "a")
    assert len({key((90, 90), "a"), key((90, 90), "b"), key((92, 90), "a")}) == 3


def test_turns_are_found_where_a_role_takes_several_tokens_and_where_it_has_no_line() -> None:
    tokens = [
        "<|im_start|>",
        "sys",
        "tem",
        "\n",
        "Hi",
        "<|im_end|>",
        "\n",
        "<|im_start|>",
        "user",
        "What?",
        "<|im_end|>",
    ]
    assert role_spans(tokens) == [
        {"role": "system", "start": 0, "end": 7},
        {"role": "user", "start": 7, "end": 11},
    ]


def test_words_only() -> None:
    trace = PromptTrace(np.array([5, 6]), np.zeros((3, 2), np.int64), 0, ("a", "b"), (), 10)
    made = payload(trace, [])
    assert made["media"] == [] and made["turns"] == [] and re.fullmatch("[0-9a-f]{32}", made["key"])


def test_an_image_cache_saves_encoding_the_same_picture_again(
    processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = processor.process([Message("user", [Image(photograph((120, 90))), Text("Hi")])])
    images = new_image_cache()
    first = view(prompt, images=images)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr("qwen2vl_demo.viz.lens_payload.encode_frames", refuse)
    assert view(prompt, images=images) == first
