"""The part of a clip that is looked at: all frames are taken from it, and are those that are shown within it."""

from pathlib import Path

import pytest
from PIL import Image

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import WHOLE_CLIP, TimeRange
from tests.media.drawn_clips import check_numbers, read, sentence, write


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 seconds, 25 frames a second: frame n is shown from 0.04 n to 0.04 (n + 1)."""
    return write(tmp_path_factory.mktemp("clip") / "clip.mp4", count=50)


@pytest.mark.parametrize(
    ("part", "first", "last"),
    [
        (TimeRange(0.4, 0.8), 10, 19),  # frame 20 begins when the part ends
        (TimeRange(0.42, 0.78), 10, 19),  # frame 10 is still shown, and frame 19 already
        (TimeRange(1.0), 25, 49),
        (TimeRange(0, 0.4), 0, 9),
        (TimeRange(1.6, 60), 40, 49),
        (TimeRange(0.41, 0.42), 10, 10),  # one frame, which is repeated to make a pair
        (TimeRange(1.97), 49, 49),
        (WHOLE_CLIP, 0, 49),
    ],
)
def test_all_frames_are_those_shown_within_the_part(clip: Path, part: TimeRange, first: int, last: int) -> None:
    found = read(clip, fps=240.0, time_range=part)
    check_numbers(found)
    present = last - first + 1
    assert (found.indices[0], found.indices[-1], len(found.indices)) == (first, last, max(2, present // 2 * 2))
    assert found.timestamps == pytest.approx([0.04 * i for i in found.indices])  # of the whole clip
    assert (found.total_frames, found.duration) == (50, 2.0)


def test_the_same_number_of_frames_a_second_is_taken_of_a_part_and_up_to_the_limit(clip: Path) -> None:
    """1.2 s are 30 frames; at 10 a second 12 of them."""
    assert len(read(clip, fps=10.0, time_range=TimeRange(0.4, 1.6)).indices) == 12
    assert len(read(clip, fps=10.0, max_frames=8, time_range=TimeRange(0.4, 1.6)).indices) == 8


def test_a_part_of_an_animation(tmp_path: Path) -> None:
    path = tmp_path / "wave.gif"
    waves = [Image.new("RGB", (64, 48), (40 * i, 80, 90)) for i in range(6)]
    waves[0].save(path, save_all=True, append_images=waves[1:], duration=100)
    assert read(path, fps=100.0, time_range=TimeRange(0.2, 0.4)).indices == (2, 3)


def test_a_part_behind_the_end_is_refused(clip: Path) -> None:
    text = sentence(clip, time_range=TimeRange(2.5, 3))
    assert text == ("clip.mp4 lasts 2.0 s, and the part to look at begins at 2.5 s; choose one that begins earlier.")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("2-4", TimeRange(2, 4)),
        ("2.5 - 4.25", TimeRange(2.5, 4.25)),
        ("2 s to 4 s", TimeRange(2, 4)),
        ("1:05-1:20", TimeRange(65, 80)),
        ("0:01:05\u20131:00:00", TimeRange(65, 3600)),
        ("5-", TimeRange(5)),
        ("-0:10", TimeRange(0, 10)),
        ("", WHOLE_CLIP),
        (" ", WHOLE_CLIP),
    ],
)
def test_a_part_as_people_write_it(text: str, part: TimeRange) -> None:
    assert TimeRange.parse(text) == part


@pytest.mark.parametrize(
    "text", ["-", "4", "4-2", "2-2", "a-b", "1:2:3:4-5", "-1-2", "2-4-6", "9" * 80, "1e9-2", "nan-2"]
)
def test_what_is_no_part_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(UserError) as caught:
        TimeRange.parse(text, "--part")
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("bounds", [(-1, 2), (2, 1), (float("nan"), 3), (0, float("inf")), (0, 10**400)])
def test_a_range_of_odd_numbers_is_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(UserError):
        TimeRange(*bounds)
