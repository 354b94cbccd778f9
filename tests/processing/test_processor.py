"""The processor: media, placeholders, positions and names of a prompt are consistent; nothing is decoded twice."""

from __future__ import annotations

import io
import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
import pypdfium2
import pytest

from qwen2vl_demo import geometry
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import VisionSpan
from qwen2vl_demo.lru_cache import CacheBudget
from qwen2vl_demo.processing import processor as processor_module
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video
from qwen2vl_demo.processing.processor import Cancelled, Processor, expand_documents


@pytest.fixture
def processor(checkpoint: Path) -> Processor:
    return Processor.from_directory(checkpoint)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """red.png (60x100), a clip of 20 frames at 10 a second (96x128), an animation, and a PDF of two pages."""
    directory = tmp_path_factory.mktemp("files")
    PIL.Image.new("RGB", (100, 60), "red").save(directory / "red.png")
    frames = [PIL.Image.new("RGB", (56, 56), colour) for colour in ("lime", "blue", "white")]
    frames[0].save(directory / "moving.gif", save_all=True, append_images=frames[1:], duration=100)
    with av.open(str(directory / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for i in range(20):
            picture = np.full((96, 128, 3), i * 10, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    document = pypdfium2.PdfDocument.new()
    document.new_page(100, 200)
    document.new_page(200, 100)
    document.save(directory / "document.pdf")
    return directory


def test_a_conversation_becomes_one_consistent_record(processor: Processor, files: Path) -> None:
    """60x100 is below the floor of 4 tokens in neither way: 56x112 = 2x4 tokens. The clip of 2 s at 2 frames a second
    has 4 frames, 96x128 grown to 128 tokens: 10 x 14 = 140 a pair."""
    messages = [
        Message("user", [Text("Look: "), Image(files / "red.png"), Text(" and "), Video(files / "clip.mp4")]),
        Message("assistant", "I see."),
        Message("user", [Image((files / "red.png").read_bytes()), Text("Again?")]),
    ]
    prompt = processor.process(messages, MediaOptions())
    trace = prompt.trace
    assert [(m.kind, m.name, m.message, m.part) for m in trace.media] == [
        ("image", "red.png", 0, 1),
        ("video", "clip.mp4", 0, 3),
        ("image", "picture 2", 2, 0),
    ]
    assert [m.merged_tokens for m in trace.media] == [8, 2 * 140, 8]
    assert trace.media[0].original_size == (60, 100)
    assert trace.media[0].resized_size == (56, 112)
    assert trace.media[1].total_frames == 20
    assert len(trace.media[1].timestamps) == len(trace.media[1].frame_indices) == 4
    assert trace.media[0].digest == trace.media[2].digest
    for item, record in zip(prompt.media, trace.media, strict=True):
        pad = processor.config.video_token_id if item.kind == "video" else processor.config.image_token_id
        assert set(trace.input_ids[slice(*record.span)].tolist()) == {pad}
        assert record.span[1] - record.span[0] == item.merged_tokens
        assert item.frames.shape[1:3] == record.resized_size
        assert item.digest == record.digest
        assert item.name == record.name
    positions, delta = geometry.mrope_position_ids(len(trace), [VisionSpan(m.span[0], m.grid_thw) for m in trace.media])
    np.testing.assert_array_equal(trace.position_ids, positions)
    assert trace.rope_delta == delta < 0
    assert len(trace.tokens) == len(trace)
    assert trace.tokens[0] == "<|im_start|>"
    assert trace.context_length == 4096
    json.dumps(trace.to_dict())


def test_text_alone_needs_no_media(processor: Processor) -> None:
    prompt = processor.process([Message("user", "Hi")])
    assert prompt.media == ()
    assert prompt.trace.rope_delta == 0


def test_vision_ids_are_counted_by_kind(processor: Processor, files: Path) -> None:
    messages = [Message("user", [Image(files / "red.png"), Video(files / "clip.mp4"), Image(files / "red.png")])]
    text = "".join(processor.process(messages, add_vision_id=True).trace.tokens)
    assert [text.count(label) for label in ("Picture 1: ", "Picture 2: ", "Video 1: ", "Picture 3: ")] == [1, 1, 1, 0]


def test_given_names_win_over_file_names(processor: Processor, files: Path) -> None:
    messages = [Message("user", [Image(files / "red.png", "my cat"), Image(files / "red.png")])]
    assert [m.name for m in processor.process(messages).trace.media] == ["my cat", "red.png"]


def test_an_animation_as_a_picture_gives_its_first_frame(processor: Processor, files: Path) -> None:
    (item,) = processor.process([Message("user", [Image(files / "moving.gif")])]).media
    assert item.kind == "image"
    np.testing.assert_allclose(item.frames[0, 28, 28], [0, 255, 0], atol=8)


def test_options_reach_pictures_and_clips(processor: Processor, files: Path) -> None:
    options = MediaOptions(max_pixels=16 * 784, fps=4, max_frames=6)
    messages = [Message("user", [Image(PIL.Image.new("RGB", (640, 480))), Video(files / "clip.mp4")])]
    picture, clip = processor.process(messages, options).media
    assert picture.merged_tokens <= 16
    assert len(clip.frames) == 6
    assert clip.merged_tokens <= 3 * 16


# ---- the cache ----


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the media that were really loaded."""
    seen: list[str] = []
    for name in ("load_image", "load_video"):
        real = getattr(processor_module, name)

        def counted(part: Any, *args: Any, _real: Any = real) -> Any:
            seen.append(args[-2])
            return _real(part, *args)

        monkeypatch.setattr(processor_module, name, counted)
    return seen


def test_a_follow_up_question_loads_nothing_again(processor: Processor, files: Path, loads: list[str]) -> None:
    first = [Message("user", [Image(files / "red.png"), Video(files / "clip.mp4"), Text("?")])]
    before = processor.process(first)
    follow_up = [*first, Message("assistant", "Yes."), Message("user", "And?")]
    after = processor.process(follow_up)
    assert loads == ["red.png", "clip.mp4"]
    assert [m.digest for m in before.media] == [m.digest for m in after.media]


def test_other_options_load_again(processor: Processor, files: Path, loads: list[str]) -> None:
    messages = [Message("user", [Image(files / "red.png")])]
    processor.process(messages)
    processor.process(messages, MediaOptions(min_pixels=784, max_pixels=1568))
    assert len(loads) == 2


def test_a_file_that_changed_is_loaded_again(
    processor: Processor, files: Path, tmp_path: Path, loads: list[str]
) -> None:
    file = tmp_path / "picture.png"
    shutil.copy(files / "red.png", file)
    messages = [Message("user", [Image(file)])]
    red = processor.process(messages).media[0]
    PIL.Image.new("RGB", (100, 60), "blue").save(file)
    os.utime(file, ns=(1, 1))
    blue = processor.process(messages).media[0]
    assert len(loads) == 2
    assert red.digest != blue.digest


def test_equal_bytes_are_one_picture_under_two_names(processor: Processor, files: Path, loads: list[str]) -> None:
    data = (files / "red.png").read_bytes()
    prompt = processor.process([Message("user", [Image(data, "one"), Image(bytes(data), "two")])])
    assert loads == ["one"]
    assert [m.name for m in prompt.media] == ["one", "two"]


def test_the_cache_is_bounded_in_bytes(checkpoint: Path, files: Path, loads: list[str]) -> None:
    """56x112x3 = 18,816 bytes a picture: room for one of the two, so the first was dropped when it is needed again."""
    small = Processor.from_directory(checkpoint, budget=CacheBudget(20_000))
    other = io.BytesIO()
    PIL.Image.new("RGB", (100, 60), "blue").save(other, "png")
    for source in (files / "red.png", other.getvalue(), other.getvalue(), files / "red.png"):
        small.process([Message("user", [Image(source)])])
    assert loads == ["red.png", "picture 1", "red.png"]


def test_a_picture_larger_than_the_cache_is_not_kept(checkpoint: Path, files: Path, loads: list[str]) -> None:
    small = Processor.from_directory(checkpoint, budget=CacheBudget(100))
    for _ in range(2):
        small.process([Message("user", [Image(files / "red.png")])])
    assert len(loads) == 2


def test_a_picture_in_memory_may_change(processor: Processor) -> None:
    """A PIL image is never cached: its owner may modify it."""
    picture = PIL.Image.new("RGB", (56, 56), "red")
    messages = [Message("user", [Image(picture)])]
    before = processor.process(messages).media[0].digest
    picture.paste("blue", (0, 0, 28, 28))
    assert processor.process(messages).media[0].digest != before


def test_threads_share_one_processor(processor: Processor, files: Path) -> None:
    messages = [Message("user", [Image(files / "red.png"), Video(files / "clip.mp4"), Text("What?")])]
    expected = processor.process(messages).trace.input_ids.tolist()
    with ThreadPoolExecutor(4) as pool:
        for prompt in pool.map(lambda _: processor.process(messages), range(16)):
            assert prompt.trace.input_ids.tolist() == expected


def test_a_cancelled_prompt_stops_before_the_next_medium(
    processor: Processor, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel = threading.Event()
    real = processor_module.load_image
    loaded: list[str] = []

    def load_and_cancel(part: Any, *args: Any) -> Any:
        loaded.append(args[-2])
        cancel.set()
        return real(part, *args)

    monkeypatch.setattr(processor_module, "load_image", load_and_cancel)
    messages = [Message("user", [Image(files / "red.png"), Image(files / "moving.gif")])]
    with pytest.raises(Cancelled):
        processor.process(messages, cancel=cancel)
    assert loaded == ["red.png"]


# ---- documents ----


def test_a_pdf_becomes_one_picture_a_page(processor: Processor, files: Path) -> None:
    messages = [Message("user", [Text("a"), Image(files / "document.pdf"), Text("b"), Image(files / "red.png")])]
    (message,) = expand_documents(messages)
    names = [part.name if isinstance(part, Image) else part.text for part in message.parts]
    assert names == ["a", "document.pdf, page 1", "document.pdf, page 2", "b", ""]
    trace = processor.process([message]).trace
    assert [m.name for m in trace.media] == ["document.pdf, page 1", "document.pdf, page 2", "red.png"]
    tall, wide, _ = trace.media
    assert tall.original_size[0] > tall.original_size[1]
    assert wide.original_size[0] < wide.original_size[1]


def test_a_pdf_without_a_name(files: Path) -> None:
    (message,) = expand_documents([Message("user", [Image((files / "document.pdf").read_bytes())])])
    assert isinstance(message.parts[1], Image)
    assert message.parts[1].name == "document, page 2"


def test_messages_without_documents_stay_as_they_are(files: Path) -> None:
    messages = [
        Message("system", "s"),
        Message("user", [Image(PIL.Image.new("RGB", (9, 9))), Video(files / "clip.mp4"), Text("?")]),
    ]
    assert expand_documents(messages) == messages


# ---- what people can get wrong ----


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], "no message"),
        ([Message("user", "Hi"), Message("assistant", "Hello")], "last message is from the assistant"),
        ([Message("system", "Be brief.")], "last message is from the system"),
        ([Message("tool", "x"), Message("user", "Hi")], 'from "tool"'),  # type: ignore[arg-type]
        ([Message("user", [])], "empty"),
        ([Message("user", " \n")], "empty"),
        ([Message("user", ""), Message("assistant", "?"), Message("user", "Hi")], "empty"),
        ([Message("user", [Image("/nowhere/cat.png")])], "cat.png"),
        ([Message("user", [Image(b"no picture")])], "is a text file"),
    ],
)
def test_a_conversation_that_cannot_be_answered_raises_a_sentence(
    processor: Processor, messages: list[Message], expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        processor.process(messages)


def test_an_empty_answer_and_an_empty_system_prompt_are_fine(processor: Processor) -> None:
    """An answer that was stopped before its first word stays in the conversation."""
    messages = [Message("system", ""), Message("user", "Hi"), Message("assistant", ""), Message("user", "Hi?")]
    assert "helpful" not in "".join(processor.process(messages).trace.tokens)


def test_a_missing_configuration_is_named(checkpoint: Path, tmp_path: Path) -> None:
    directory = tmp_path / "copy"
    shutil.copytree(checkpoint, directory)
    (directory / "config.json").unlink()
    with pytest.raises(UserError, match=r"There is no config\.json"):
        Processor.from_directory(directory)


def test_without_image_preprocessing_it_is_that_of_the_released_checkpoints(checkpoint: Path, tmp_path: Path) -> None:
    """As early olmOCR was published. The numbers are those of the released preprocessor_config.json."""
    directory = tmp_path / "copy"
    shutil.copytree(checkpoint, directory)
    (directory / "preprocessor_config.json").unlink()
    image = Processor.from_directory(directory).image
    assert (image.min_pixels, image.max_pixels) == (3136, 12845056)
    assert image.image_mean == (0.48145466, 0.4578275, 0.40821073) and image.rescale == 1 / 255


def test_the_newer_processor_file_is_read(checkpoint: Path, tmp_path: Path) -> None:
    directory = tmp_path / "copy"
    shutil.copytree(checkpoint, directory)
    (directory / "preprocessor_config.json").unlink()
    newer = {"image_processor": {"size": {"shortest_edge": 3136, "longest_edge": 6272}}}
    (directory / "processor_config.json").write_text(json.dumps(newer))
    assert Processor.from_directory(directory).image.max_pixels == 6272


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"image_token_id": 151655}, r"<\|image_pad\|> the id 151655 but tokenizer.json"),
        ({"vision_end_token_id": 0}, r"<\|vision_end\|> the id 0"),
    ],
)
def test_files_of_two_checkpoints_are_refused(
    checkpoint: Path, tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    directory = tmp_path / "copy"
    shutil.copytree(checkpoint, directory)
    raw = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**raw, **change}))
    with pytest.raises(UserError, match=expected):
        Processor.from_directory(directory)


def test_a_vision_part_that_geometry_does_not_know_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    directory = tmp_path / "copy"
    shutil.copytree(checkpoint, directory)
    raw = json.loads((directory / "config.json").read_text())
    raw["vision_config"]["spatial_merge_size"] = 4
    (directory / "config.json").write_text(json.dumps(raw))
    with pytest.raises(UserError, match="merge_size is 4"):
        Processor.from_directory(directory)
