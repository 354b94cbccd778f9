"""Time stamps before the frames of a clip, and parts of clips, in the prompt that a model gets."""

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.remote.media_parts import clip_file
from qwen2vl_demo.media import TimeRange
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video
from qwen2vl_demo.processing.processor import Processor, Prompt
from qwen2vl_demo.resources import NANO

STAMPED = MediaOptions(time_stamps=True)


@pytest.fixture(scope="module")
def nano() -> Processor:
    return Processor.from_directory(NANO)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 frames at 2 a second, each of its own grey: 4 s."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    path.write_bytes(clip_file(np.stack([np.full((112, 140, 3), 20 * i, np.uint8) for i in range(8)])))
    return path


def prompt(nano: Processor, *parts: Image | Video | Text, options: MediaOptions | None = None) -> Prompt:
    return nano.process([Message("user", [*parts, Text("What happens?")])], options)


def words(made: Prompt) -> str:
    return "".join(made.trace.tokens).replace("<|video_pad|>", "")


def test_the_time_stands_before_each_pair_of_frames_in_the_token_sequence(nano: Processor, clip: Path) -> None:
    """8 frames are 4 pairs, which are shown from 0, 1, 2 and 3 s on."""
    plain, stamped = prompt(nano, Video(clip)), prompt(nano, Video(clip), options=STAMPED)
    ids, at = stamped.trace.input_ids, 0
    for seconds, medium in zip((0, 1, 2, 3), stamped.trace.media, strict=True):
        stamp = nano.tokenizer.encode_text(f"<{seconds}.0 seconds>")
        start, end = medium.span
        assert end - start == plain.trace.media[0].merged_tokens // 4
        assert ids[start - 1 - len(stamp) : start - 1].tolist() == stamp  # behind it <|vision_start|>
        assert medium.timestamps == (seconds, seconds + 0.5)
        assert start > at
        at = end
    assert words(stamped).count("<|vision_start|><|vision_end|>") == 4
    assert "<0.0 seconds><|vision_start|>" in words(stamped)
    assert "seconds>" not in words(plain)


def test_pieces_of_clips_are_the_clips_that_were_attached(nano: Processor, clip: Path) -> None:
    """The same file twice, and a picture between and behind."""
    cat = Image(PIL.Image.new("RGB", (112, 84), "teal"), "cat.png")
    parts = (Video(clip), cat, Video(clip), Video(clip), cat)
    plain, stamped = prompt(nano, *parts), prompt(nano, *parts, options=STAMPED)
    attached = stamped.trace.attached
    assert plain.trace.attached == plain.trace.media and len(stamped.trace.media) == 3 * 4 + 2
    for one, same in zip(attached, plain.trace.media, strict=True):
        for number in ("kind", "name", "grid_thw", "merged_tokens", "timestamps", "frame_indices", "duration"):
            assert getattr(one, number) == getattr(same, number), number
    assert [stamped.trace.index_of(one) for one in attached] == [0, 4, 5, 9, 13]


def test_the_vision_transformer_sees_the_same(nano: Processor, clip: Path) -> None:
    plain, stamped = prompt(nano, Video(clip)), prompt(nano, Video(clip), options=STAMPED)
    assert np.array_equal(np.concatenate([medium.frames for medium in stamped.media]), plain.media[0].frames)
    assert len({medium.digest for medium in stamped.media}) == 4


def test_pictures_stay_as_they_are_and_nothing_is_decoded_again(
    nano: Processor, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = Image(png(), "cat.png")
    plain = prompt(nano, picture, Video(clip))
    monkeypatch.setattr("qwen2vl_demo.processing.processor.load_video", lambda *_: pytest.fail("decoded again"))
    stamped = prompt(nano, picture, Video(clip), options=STAMPED)
    assert [medium.name for medium in stamped.trace.media] == [
        "cat.png", "clip.mp4, 0.0 s", "clip.mp4, 1.0 s", "clip.mp4, 2.0 s", "clip.mp4, 3.0 s",
    ]  # fmt: skip
    assert stamped.trace.media[0].digest == plain.trace.media[0].digest
    without = [Message("user", "No clip.")]
    assert np.array_equal(nano.process(without, STAMPED).trace.input_ids, nano.process(without).trace.input_ids)


def test_a_part_of_a_clip_is_another_medium_and_says_so(nano: Processor, clip: Path) -> None:
    """From 2 s to 4 s are the last 4 frames."""
    part = Video(clip, time_range=TimeRange(2, 9))
    (medium,) = prompt(nano, part).trace.media
    assert (medium.timestamps, medium.frame_indices) == ((2.0, 2.5, 3.0, 3.5), (4, 5, 6, 7))
    assert (medium.time_range, medium.duration, medium.total_frames) == ((2.0, 4.0), 4.0, 8)
    assert medium.notices == ("All frames are taken from 2.0 s to 4.0 s.",)
    assert medium.to_dict()["time_range"] == [2.0, 4.0]
    assert len(prompt(nano, Video(clip)).trace.media[0].timestamps) == 8
    assert [m.timestamps for m in prompt(nano, part, options=STAMPED).trace.media] == [(2.0, 2.5), (3.0, 3.5)]


def png() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (56, 56), "red").save(buffer, "PNG")
    return buffer.getvalue()
