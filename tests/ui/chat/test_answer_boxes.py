"""Which picture and frame the boxes of an answer lie on, at which size the model saw it, and how they are read."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from qwen2vl_demo.media.time_range import TimeRange
from qwen2vl_demo.ui.chat.answer_boxes import AnswerBoxes, answer_boxes, drawn_pictures, units_of
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Medium, MediumNumbers, Numbers, Turn
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.viz.box_units import Reading
from qwen2vl_demo.viz.boxes import Box
from tests.fake_engine import FakeEngine

CAT = Medium("image", "a" * 64 + ".png", "image.png")
DOG = Medium("image", "b" * 64 + ".jpg", "image.png")
CLIP = Medium("video", "c" * 64 + ".mp4", "clip.mp4")
BOX = "<|box_start|>(100,200),(300,400)<|box_end|>"
TIMES = (0.0, 1.0, 2.0, 3.0)


def numbers_of(media: Sequence[Medium], sizes: Sequence[tuple[int, int]] | None = None) -> Numbers:
    seen = [
        MediumNumbers(m.kind, m.name, (1, 1), size, (1, 2, 2), 1, *((TIMES, 4.0) if m.kind == "video" else ()))
        for m, size in zip(media, sizes or [(420, 560)] * len(media), strict=True)
    ]
    return Numbers(9, 2, 5, 0.1, 0.1, 0.0, None, tuple(seen))


def chat(text: str, *media: Medium, units: str = "", choice: str = "auto") -> Conversation:
    answer = Answer(text, "end", numbers_of(media), units)  # type: ignore[arg-type]
    return Conversation((Turn("?", media, True, answer),), units_choice=choice)  # type: ignore[arg-type]


def marked(conversation: Conversation, index: int = 0) -> AnswerBoxes:
    found = answer_boxes(conversation, index)
    assert found is not None
    return found


def lie_on(text: str, *media: Medium) -> list[tuple[Medium, list[int]]]:
    return [(p.medium, [box.number for box in p.boxes]) for p in marked(chat(text, *media)).pictures]


def test_boxes_belong_to_the_turns_picture_or_the_last_one_before() -> None:
    two = Conversation((Turn("?", (CAT, DOG), True, Answer("!", "end")), Turn("?", (), True, Answer(BOX, "end"))))
    assert [picture.medium for picture in marked(two, 1).pictures] == [DOG]
    assert lie_on(BOX, CAT, DOG) == [(CAT, [1])]
    assert answer_boxes(chat("A cat.", CAT), 0) is None
    assert answer_boxes(chat(BOX), 0) is None


def test_boxes_go_to_the_picture_that_is_named_before_them() -> None:
    text = f"Picture 1: a cat {BOX}. Picture 2: a dog {BOX} and a ball {BOX}. In the first image again {BOX}."
    assert lie_on(text, CAT, DOG) == [(CAT, [1, 4]), (DOG, [2, 3])]
    assert lie_on(f"{BOX} in picture 2", CAT, DOG) == [(DOG, [1])]
    assert [p.caption for p in marked(chat(text, CAT, DOG)).pictures] == [
        "Picture 1: image.png.",
        "Picture 2: image.png.",
    ]


def test_picture_12_is_not_picture_1() -> None:
    twelve = [replace(CAT, file=f"{n:064x}.png") for n in range(1, 13)]
    assert lie_on(f"In picture 12: {BOX}", *twelve) == [(twelve[11], [1])]


def test_a_number_that_no_picture_has_changes_nothing() -> None:
    assert lie_on(f"In picture 7: {BOX}", CAT, DOG) == [(CAT, [1])]


def moments(text: str, *media: Medium) -> list[tuple[float | None, list[int], str]]:
    return [
        (p.moment.seconds if p.moment else None, [box.number for box in p.boxes], p.caption)
        for p in marked(chat(text, *media)).pictures
    ]


def test_boxes_lie_on_the_frame_of_the_time_that_is_named() -> None:
    """Of the frames at 0, 1, 2 and 3 s; 2.2 s is nearest to 2 s."""
    assert moments(f"At 0:02 {BOX}", CLIP) == [
        (2.0, [1], "The frame at 2.0 s of clip.mp4, the time that the answer names.")
    ]
    assert moments(f"At 1 s {BOX}, later, after 2.2 seconds, {BOX}", CLIP) == [
        (1.0, [1], "The frame at 1.0 s of clip.mp4, the time that the answer names."),
        (
            2.0,
            [2],
            "The frame at 2.0 s of clip.mp4: "
            "of those that the model saw, the nearest to 2.2 s, which the answer names.",
        ),
    ]
    between = "The frame at 1.0 s of clip.mp4: of those that the model saw, the first from 0.5 s to 2.0 s."
    assert moments(f"From 0.5 to 2 seconds {BOX}", CLIP) == [(1.0, [1], between)]
    both = '[{"bbox_2d": [1, 2, 3, 4], "time": 1.0}, {"bbox_2d": [1, 2, 3, 4], "time": "00:03"}]'
    assert [each[:2] for each in moments(both, CLIP)] == [(1.0, [1]), (3.0, [2])]


def test_of_many_moments_the_first_few_are_drawn_and_the_rest_is_said() -> None:
    seen = numbers_of([CLIP])
    times = tuple(map(float, range(9)))
    seen = replace(seen, media=(replace(seen.media[0], timestamps=times, duration=10.0),))
    text = " ".join(f"At {second} s {BOX}" for second in range(9))
    found = marked(Conversation((Turn("?", (CLIP,), True, Answer(text, "end", seen)),)))
    assert [picture.moment and picture.moment.seconds for picture in found.pictures] == list(times[:6])
    assert found.pictures[-1].caption.endswith(" 3 more boxes are not drawn.")


def test_in_a_part_of_a_clip_times_count_from_its_beginning_if_none_were_shown() -> None:
    """Of seconds 10 to 14 the model saw four frames: its "2 s" is the second 12, unless times were written before the
    frames, and what can only be a time of the whole clip is one."""
    part = replace(CLIP, time_range=TimeRange(10.0, 14.0))
    whole = numbers_of([part]).media[0]
    late = replace(whole, timestamps=(10.0, 11.0, 12.0, 13.0), duration=60.0)
    pieces = tuple(replace(late, name=f"clip.mp4, {time} s", timestamps=(time, time + 1)) for time in (10.0, 12.0))

    def at(words: str, *media: MediumNumbers) -> float | None:
        numbers = replace(numbers_of([part]), media=media)
        answer = Answer(f"{words} {BOX}", "end", numbers)
        found = marked(Conversation((Turn("?", (part,), True, answer),)))
        assert found.pictures[0].resized == (420, 560)
        return found.pictures[0].moment and found.pictures[0].moment.seconds

    assert at("At 2 s", late) == 12.0
    assert at("At 12 s", late) == 12.0
    assert at("At 12 s", *pieces) == 12.0


def test_without_a_time_it_is_the_first_frame_and_says_so() -> None:
    assert moments(f"Here: {BOX}", CLIP) == [
        (0.0, [1], "The first frame of clip.mp4, as the answer names no time of this clip.")
    ]


def test_beside_a_picture_a_clip_has_boxes_only_where_a_time_or_the_clip_is_named() -> None:
    assert lie_on(BOX, CLIP, CAT) == [(CAT, [1])]
    assert lie_on(f"At 0:02 {BOX}", CLIP, CAT) == [(CLIP, [1])]
    assert lie_on(f"In video 1: {BOX}", CLIP, CAT) == [(CLIP, [1])]


def test_a_clip_is_not_passed_over_for_an_earlier_picture() -> None:
    first = Turn("?", (CAT,), True, Answer("!", "end"))
    two = Conversation((first, Turn("?", (CLIP,), True, Answer(BOX, "end"))))
    assert [picture.medium for picture in marked(two, 1).pictures] == [CLIP]


def test_pixels_are_those_of_the_picture_at_its_place(store: MediaStore, files: Callable[[str], str]) -> None:
    """Both are called image.png, as pasted pictures are; the second was seen at 1,120x1,400 px, so x = 700 is half."""
    kept = [store.upload(Path(files(name)), "image.png").media[0] for name in ("cat.png", "dog.jpg")]
    numbers = numbers_of(kept, [(28, 28), (1120, 1400)])
    text = 'In picture 2: {"bbox_2d": [0, 560, 700, 1120], "label": "dog"}'
    one = Conversation((Turn("?", tuple(kept), True, Answer(text, "end", numbers)),))
    ((picture, file),) = drawn_pictures(answer_boxes(one, 0), store)
    assert picture.medium == kept[1] and file.is_file()
    assert [drawn.box for drawn in picture.boxes] == [Box("dog", 0, 500, 500, 1000)]
    untold = one.answered(Answer(text, "end", replace(numbers, media=numbers.media[1:])))
    assert [drawn.box for drawn in marked(untold).pictures[0].boxes] == [Box("dog", 0, 560, 700, 1000)]


def test_a_frame_of_a_clip_is_drawn(store: MediaStore, files: Callable[[str], str]) -> None:
    (clip,) = store.add(Path(files("clip.mp4")), "clip.mp4")
    drawn = drawn_pictures(marked(chat(f"At 1 s {BOX}, at 2 s {BOX}", clip)), store)
    assert len(drawn) == 2 and all(file.suffix == ".webp" and file.is_file() for _, file in drawn)


JSON = '{"bbox_2d": [100, 200, 300, 400], "label": "cat"}'


@pytest.mark.parametrize(
    ("units", "choice", "reading"),
    [
        ("", "auto", Reading("thousandths", doubtful=True, by="doubt")),
        ("pixels", "auto", Reading("pixels", by="model")),
        ("pixels", "thousandths", Reading("thousandths", by="choice")),
    ],
)
def test_model_and_visitor_decide_how_boxes_are_read(units: str, choice: str, reading: Reading) -> None:
    assert marked(chat(JSON, CAT, units=units, choice=choice)).reading == reading


def test_in_doubt_both_readings_are_there() -> None:
    """As pixels of 560x420 px: 100 of 560 are 178.6 thousandths."""
    ((drawn,),) = (picture.boxes for picture in marked(chat(JSON, CAT)).pictures)
    assert drawn.box == Box("cat", 100, 200, 300, 400)
    assert drawn.other is not None and round(drawn.other.x1, 1) == 178.6
    ((sure,),) = (picture.boxes for picture in marked(chat(JSON, CAT, units="pixels")).pictures)
    assert sure.box == drawn.other and sure.other is None


def test_a_model_that_is_loaded_here_writes_thousandths() -> None:
    class Loaded(FakeEngine):
        config = object()  # type: ignore[assignment]

    class Served(FakeEngine):
        name = "Qwen/Qwen2.5-VL-7B-Instruct"

    assert [units_of(engine) for engine in (Loaded(), Served(), FakeEngine())] == ["thousandths", "pixels", ""]
