"""The times that an answer names, and which frame of which clip each means. tests/browser/test_clock.py reads the same
table with static/clock-times.js."""

import json
from pathlib import Path
from typing import Any

import pytest

from qwen2vl_demo.media.time_range import TimeRange
from qwen2vl_demo.ui.chat.answer_boxes import answer_boxes
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Medium, MediumNumbers, Numbers, Turn
from qwen2vl_demo.ui.chat.named_times import find_times, in_clip
from qwen2vl_demo.ui.chat.seen_frames import seen_clips
from tests.linear_time import is_linear

TABLE = json.loads(Path(__file__).with_name("named_times.json").read_text(encoding="utf-8"))
BOX = "<|box_start|>(100,200),(300,400)<|box_end|>"


def asked(case: dict[str, Any], answer: str = "") -> Conversation:
    """A question with the clips of a case, which was answered so."""
    media, seen = [], []
    for number, clip in enumerate(case["clips"]):
        start, end = clip.get("part", (0.0, None))
        media.append(Medium("video", f"{number:064x}.mp4", f"{number}.mp4", TimeRange(start, end)))
        names = [f"{number}.mp4"]
        if clip.get("stamped"):  # in pairs
            names = [f"{number}.mp4, {time} s" for time in clip["times"][::2]]
        step = len(clip["times"]) // len(names)
        for at, name in enumerate(names):
            times = tuple(map(float, clip["times"][at * step : (at + 1) * step]))
            seen.append(MediumNumbers("video", name, (84, 112), (84, 112), (1, 6, 8), 12, times, clip["duration"]))
    numbers = Numbers(9, 2, 5, 0.1, 0.1, 0.0, None, tuple(seen))
    return Conversation((Turn("?", tuple(media), True, Answer(answer, "end", numbers)),))


def clips_of(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The clips of a case, as the page is told of them."""
    return seen_clips(asked(case), 0)


def test_what_is_a_time_and_what_only_looks_like_one() -> None:
    for case in TABLE["times"]:
        text = case["text"]
        found = [[text[time.start : time.end], time.span.first, time.span.last] for time in find_times(text)]
        assert found == case["times"], text
    assert [text for text in TABLE["no_times"] if find_times(text)] == []


@pytest.mark.parametrize("case", TABLE["moments"], ids=[case["why"] for case in TABLE["moments"]])
def test_a_box_behind_a_time_lies_on_the_frame_to_which_the_time_leads(case: dict[str, Any]) -> None:
    times, clips = find_times(case["text"]), clips_of(case)
    words = [case["text"][time.start : time.end] for time in times]
    wanted = list(case["moments"])
    boxed, at = "", 0
    for time, word in zip(times, words, strict=True):
        boxed += case["text"][at : time.end]
        at = time.end
        if wanted and wanted[0][0] == word:
            clip = clips[wanted[0][1]]
            moment = in_clip(time.span, clip)
            assert moment and [moment.first, moment.last] == wanted[0][2:4]
            wanted.pop(0)
            boxed += BOX
    assert wanted == []
    marked = answer_boxes(asked(case, boxed + case["text"][at:] or BOX), 0)
    drawn = [
        [int(picture.medium.name[0]), picture.moment.seconds]
        for picture in (marked.pictures if marked else ())
        if picture.moment
    ]
    assert drawn == [[clip, frame] for _, clip, _, _, frame in case["moments"]]


def test_where_no_moment_is_named_it_is_the_first_frame() -> None:
    case = {"clips": [{"times": [0, 2, 4], "duration": 6}]}
    for words in ("At 16:9", "At 1:30", "It lasts 4 seconds"):
        marked = answer_boxes(asked(case, f"{words} {BOX}"), 0)
        assert marked is not None and marked.pictures[0].moment is not None
        assert marked.pictures[0].moment.seconds == 0
        assert "names no time of this clip" in marked.pictures[0].caption


def test_marks_of_markdown_do_not_hide_what_is_around_a_time() -> None:
    """The browser reads what is drawn: "for 5 s" is a length there whatever is bold."""
    text = "It waits for **5 s**, *until* **0:12**, and `7 s` _0:13_ later."
    assert [text[time.start : time.end] for time in find_times(text)] == ["0:12", "7 s", "0:13"]


@pytest.mark.parametrize("piece", ["1:1", "0:12-", "1 min and ", "from 2 to ", "99999.999 ", "**_`", '"time": '])
def test_reading_is_linear(piece: str) -> None:
    assert is_linear(find_times, lambda length: piece * (length // len(piece)), 20_000)
