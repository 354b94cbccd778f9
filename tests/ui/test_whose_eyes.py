"""Whose eyes: the released Qwen2-VL's sizes and pixels, whatever model answers, and the line that names both."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.cost.estimate import tokens_only
from qwen2vl_demo.engine.processors import reference_processor
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video
from qwen2vl_demo.processing.processor import Processor, Prompt
from qwen2vl_demo.resources import NANO
from qwen2vl_demo.ui.eyes import are_released, released_tokens, through
from qwen2vl_demo.ui.panel.comparison_html import comparison_table_html
from qwen2vl_demo.ui.panel.eyes_switch import EyesSwitch, eyes_line, short_name
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft
from tests.ui.conftest import clip

Files = Callable[[str], str]
LOWERED = GenerationOptions(media=MediaOptions(min_pixels=4 * 784, max_pixels=20 * 784))  # as the settings may be


@pytest.fixture(scope="module")
def nano() -> Processor:
    return Processor.from_directory(NANO)


def prompt(processor: Processor, source: object, options: MediaOptions | None = None) -> Prompt:
    part = Video(source) if isinstance(source, Path) and source.suffix == ".mp4" else Image(source)  # type: ignore[arg-type]
    return processor.process([Message("user", [part, Text("?")])], options, thumbnails=True)


@pytest.mark.parametrize(
    ("size", "patches", "tokens"),
    [((448, 448), (1, 32, 32), 256), ((1568, 1568), (1, 112, 112), 3136), ((224, 224), (1, 16, 16), 64)],
)
def test_the_seed_examples_come_out_in_front_of_nano(
    nano: Processor, size: tuple[int, int], patches: tuple[int, int, int], tokens: int
) -> None:
    """448 / 14 = 32 patches a side, 32 * 32 = 1,024, four of them to a token: 256. 1568 / 28 = 56; 56 * 56 = 3,136."""
    picture = PIL.Image.new("RGB", size, "teal")
    (medium,) = prompt(nano, picture, through(GenerationOptions(), "released").media).trace.media
    assert (medium.grid_thw, medium.merged_tokens, medium.resized_size) == (patches, tokens, size)
    (own,) = prompt(nano, picture).trace.media
    assert own.merged_tokens <= 64 and released_tokens(own) == tokens


@pytest.mark.parametrize("size", [(333, 500), (61, 900), (20, 20), (1920, 1080), (4000, 3000), (5, 700), (42, 70)])
def test_the_resized_picture_is_the_one_that_the_released_checkpoints_get(
    nano: Processor, size: tuple[int, int]
) -> None:
    """Pixel by pixel what their own processor makes of the file, whatever budget is set for this model."""
    noise = np.random.default_rng(size[0]).integers(0, 255, (size[1] // 4 + 1, size[0] // 4 + 1, 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(noise).resize(size)
    seen = prompt(nano, picture, through(LOWERED, "released").media).media[0]
    theirs = prompt(reference_processor(), picture).media[0]
    assert np.array_equal(seen.frames, theirs.frames)
    assert (seen.min_pixels, seen.max_pixels) == (theirs.min_pixels, theirs.max_pixels) == (3136, 12_845_056)
    (own,) = prompt(nano, picture).trace.media
    assert released_tokens(own) == theirs.merged_tokens


@pytest.mark.parametrize("frames", [4, 20, 61])
def test_frames_of_a_clip_get_the_released_budget_as_well(nano: Processor, tmp_path: Path, frames: int) -> None:
    """At least 128 tokens a frame, which nano's own limit of 64 does not allow."""
    film = clip(tmp_path / "clip.mp4", frames)
    seen = prompt(nano, film, through(LOWERED, "released").media).trace.media[0]
    theirs = prompt(reference_processor(), film).trace.media[0]
    assert (seen.grid_thw, seen.digest) == (theirs.grid_thw, theirs.digest)
    own = prompt(nano, film).trace.media[0]
    assert own.merged_tokens < theirs.merged_tokens == released_tokens(own)


def test_other_eyes_change_what_is_drawn_and_not_what_is_asked(parts: Parts, files: Files) -> None:
    """With 20 tokens set for this model, 320x240 px are 5x3 of its tokens, and 11x9 of the released ones'
    (240 / 28 = 8.6 and 320 / 28 = 11.4)."""
    session, draft, values = parts.sessions.open("tab", None), Draft("", (files("cat.png"),)), {"max_tokens": 20}
    own = parts.preview.refresh(session, draft, values).panel
    assert own is not None and own.trace is own.own and session.shown is not None and session.shown.seen is None
    other = parts.preview.refresh(session, draft, values, eyes="released").panel
    assert other is not None and other.trace is not None and other.own is not None and session.shown is not None
    assert (other.trace.media[0].merged_grid, other.own.media[0].merged_grid) == ((1, 9, 11), (1, 3, 5))
    assert other.frames[0].shape[1:3] == (252, 308) == other.trace.media[0].resized_size
    assert other.trace.context_length == 32_768
    assert session.shown.trace is other.own and session.shown.drawn is other.trace
    assert other.estimate == own.estimate  # what it costs is what it costs here
    pixels = parts.preview.frames(session, other.trace.media[0].digest)
    assert pixels is not None and np.array_equal(pixels, other.frames[0])


def test_one_line_says_where_the_two_differ(parts: Parts, files: Files) -> None:
    session, values = parts.sessions.open("tab", None), {"max_tokens": 20}

    def line(eyes: str, values: dict[str, int], *names: str) -> str:
        drawn = Draft("", tuple(files(name) for name in names))
        panel = parts.preview.refresh(session, drawn, values, eyes=eyes).panel  # type: ignore[arg-type]
        assert panel is not None
        return eyes_line("fake", panel)

    assert line("model", values, "cat.png") == (
        "fake sees 15 tokens of this picture; Qwen2-VL 2B, 7B and 72B would see 99."
    )
    released = line("released", values, "cat.png")
    assert released.startswith("Qwen2-VL 2B, 7B and 72B would see 99 tokens of this picture; fake sees 15. Attention")
    assert line("model", {}, "cat.png") == ""  # 99 tokens are within its budget of 1,280
    assert "and so does fake" in line("released", {}, "cat.png")
    assert "30 tokens of these 2 pictures; " in line("model", values, "cat.png", "dog.jpg")
    assert "of these 2 pictures and clips; " in line("model", values, "cat.png", "clip.mp4")
    assert eyes_line("fake", PanelState()) == ""


def test_a_clip_behind_time_stamps_is_counted_once(nano: Processor, tmp_path: Path) -> None:
    """Two pairs of frames were "these 2 clips", each with the released budget of a clip of two frames. What is said is
    the same as without time stamps; the table of Cost compares several media only."""
    film, said = clip(tmp_path / "clip.mp4", 20), []
    for stamped in (False, True):
        trace = prompt(nano, film, MediaOptions(time_stamps=stamped)).trace
        assert len(trace.media) == (2 if stamped else 1)
        said.append(eyes_line("nano", PanelState(own=trace)))
        assert tokens_only(trace).media == 1 and comparison_table_html(trace) == ""
    assert said[0] == said[1] and " of this clip; " in said[0]


def test_a_released_model_needs_no_switch() -> None:
    assert are_released((3136, 12_845_056)) and not are_released((12_544, 50_176))
    switch = EyesSwitch("Qwen/Qwen2-VL-2B-Instruct", (3136, 12_845_056))
    switch.draw()
    assert switch.choices == {} and switch.outputs() == [] and switch.update(PanelState()) == {}


@pytest.mark.parametrize(
    ("name", "short"),
    [("nano", "nano"), ("Qwen/Qwen2-VL-7B-Instruct", "Qwen2-VL-7B-Instruct"), ("/models/mine/", "mine"), ("/", "/")],
)
def test_the_name_on_the_switch_is_short(name: str, short: str) -> None:
    assert short_name(name) == short
    assert len(short_name("x" * 100)) == 28


def test_options_of_the_model_itself_are_left_alone() -> None:
    options = replace(LOWERED, temperature=0.5)
    assert through(options, "model") is options
    seen = through(options, "released")
    assert (seen.temperature, seen.media.min_pixels, seen.media.max_pixels) == (0.5, None, None)
