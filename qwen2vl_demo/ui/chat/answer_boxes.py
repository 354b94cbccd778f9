"""The boxes of an answer: on which pictures of the chat and which frames of its clips they lie, and how its coordinates
are read.

Qwen2-VL does not say which picture a box is meant for. One that the answer names before the box ("In picture 2: ...")
has it, else the first picture of the turn, or of a turn without files the last one before. Of a clip it is the frame
that the model saw at the time that the answer names, or next to it, and without a time of that clip the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.geometry import Size
from qwen2vl_demo.ui.chat.conversation import Conversation, Medium, MediumNumbers
from qwen2vl_demo.ui.chat.named_places import NamedMedium, NamedPlaces
from qwen2vl_demo.ui.chat.named_times import TimeSpan, frame_of
from qwen2vl_demo.ui.chat.seen_frames import seen_clips
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.viz.box_units import KnownUnits, Reading, settle, units_of_model
from qwen2vl_demo.viz.boxes import box_of, read_boxes
from qwen2vl_demo.viz.drawn_boxes import DrawnBox, coloured
from qwen2vl_demo.viz.plain_boxes import BoxedAnswer, FoundBox

MAX_PICTURES = 6  # that are drawn for one answer
SAME_TIME = 0.05  # seconds


@dataclass(frozen=True)
class Sent:
    """A picture or clip, and where in the chat it was sent."""

    medium: Medium
    turn: int  # index of its turn
    place: int  # its index among the media of that turn


@dataclass(frozen=True)
class Moment:
    """A frame of a clip."""

    seconds: float
    named: TimeSpan | None  # the time that the answer names; None: it names none of this clip
    seen: bool  # it is a frame that the model saw, and not just one of the file
    alone: bool = False  # it is the clip's only frame


@dataclass(frozen=True)
class MarkedPicture:
    """A picture, or a frame of a clip, with the boxes of an answer."""

    sent: Sent
    moment: Moment | None  # of a clip
    boxes: tuple[DrawnBox, ...]
    resized: Size | None  # at which the model saw it, in px
    caption: str  # one sentence where it is not plain which picture this is

    @property
    def medium(self) -> Medium:
        return self.sent.medium


@dataclass(frozen=True)
class AnswerBoxes:
    """What an answer marks."""

    answer: BoxedAnswer
    pictures: tuple[MarkedPicture, ...]
    reading: Reading


def units_of(engine: Engine) -> KnownUnits:
    """What an engine's model counts coordinates in. Those that are loaded here are of Qwen2-VL's architecture."""
    return "thousandths" if engine.config is not None else units_of_model(engine.name)


def answer_boxes(conversation: Conversation, index: int) -> AnswerBoxes | None:
    """What answer `index` marks; None if it names no box, or there is no picture on which it could lie."""
    answer = conversation.turns[index].answer
    found = read_boxes(answer.text) if answer is not None else BoxedAnswer("")
    sent = _sent(conversation, index)
    if answer is None or not found.boxes or not sent:
        return None
    places = NamedPlaces(answer.text)

    @cache
    def clip_of(medium: Sent) -> dict[str, Any] | None:
        return _seen(conversation, medium)

    @cache
    def moments(medium: Sent) -> list[tuple[int, TimeSpan]]:
        return places.moments(clip_of(medium))

    def named(box: FoundBox, medium: Sent) -> TimeSpan | None:
        return places.nearest(box, moments(medium))

    asked = bool(conversation.turns[index].media)
    meant = [_meant(box, places.medium(box), sent, named, asked=asked) for box in found.boxes]
    numbers = {medium: _numbers(conversation, medium) for medium in dict.fromkeys(meant)}
    sizes = [told.resized_size if (told := numbers[medium]) else None for medium in meant]
    reading = settle(list(zip(found.boxes, sizes, strict=True)), answer.box_units, conversation.units_choice)
    marks = coloured([box_of(box, reading.units, size) for box, size in zip(found.boxes, sizes, strict=True)])
    groups: dict[tuple[Sent, Moment | None], list[DrawnBox]] = {}
    for box, medium, size, mark in zip(found.boxes, meant, sizes, marks, strict=True):
        other = box_of(box, "pixels", size) if reading.doubtful else None
        moment = _moment(clip_of(medium), named(box, medium)) if medium.medium.kind == "video" else None
        groups.setdefault((medium, moment), []).append(DrawnBox(mark.box, mark.number, mark.colour, other))
    several = sum(s.medium.kind == "image" for s in sent if s.turn == meant[0].turn) > 1 or len(groups) > 1
    left_out = sum(len(boxes) for boxes in list(groups.values())[MAX_PICTURES:])
    pictures = [
        MarkedPicture(
            medium,
            moment,
            tuple(boxes),
            told.resized_size if (told := numbers[medium]) else None,
            _caption(medium, moment, sent, several=several),
        )
        for (medium, moment), boxes in list(groups.items())[:MAX_PICTURES]
    ]
    if left_out:
        more = "One more box is" if left_out == 1 else f"{left_out} more boxes are"
        pictures[-1] = replace(pictures[-1], caption=f"{pictures[-1].caption} {more} not drawn.")
    return AnswerBoxes(found, tuple(pictures), reading)


def drawn_pictures(marked: AnswerBoxes | None, store: MediaStore) -> list[tuple[MarkedPicture, Path]]:
    """The pictures with the boxes drawn on them; those that are gone are left out."""
    drawn = []
    for picture in marked.pictures if marked else ():
        moment = picture.moment.seconds if picture.moment else None
        if (file := store.boxed(picture.medium, picture.boxes, moment)) is not None:
            drawn.append((picture, file))
    return drawn


def _sent(conversation: Conversation, index: int) -> list[Sent]:
    """All media up to a turn, in the order in which they were sent."""
    return [
        Sent(medium, at, place)
        for at, turn in enumerate(conversation.turns[: index + 1])
        for place, medium in enumerate(turn.media)
    ]


def _meant(
    box: FoundBox,
    number: NamedMedium | None,
    sent: Sequence[Sent],
    named: Callable[[FoundBox, Sent], TimeSpan | None],
    *,
    asked: bool,
) -> Sent:
    """The picture or clip that a box is meant for. `number` is the one that the answer names for it, and `named` tells
    the time that it names in a clip. `asked`: the question came with the last of them."""
    latest = [one for one in sent if one.turn == sent[-1].turn]
    if number is not None and (found := _of_number(number, latest) or _of_number(number, sent)):
        return found
    pictures = [one for one in latest if one.medium.kind == "image"]
    clips = [one for one in latest if one.medium.kind == "video"]
    if clips and (not pictures or named(box, clips[0]) is not None):
        return clips[0]
    return pictures[0 if asked else -1]


def _of_number(named: NamedMedium, sent: Sequence[Sent]) -> Sent | None:
    those = [one for one in sent if one.medium.kind == named.kind]
    return those[named.number - 1] if 1 <= named.number <= len(those) else None


def _numbers(conversation: Conversation, sent: Sent) -> MediumNumbers | None:
    """What the model last saw of a medium, if an answer tells of all media of its turn."""
    for turn in reversed(conversation.turns):
        numbers = turn.answer.numbers if turn.answer is not None else None
        if sent.medium in turn.media and numbers is not None and len(numbers.media) == len(turn.media):
            own = turn is conversation.turns[sent.turn]
            return numbers.media[sent.place if own else turn.media.index(sent.medium)]
        if sent.medium in turn.media and numbers is not None and sent.medium.kind == "video":
            pieces = [one for one in numbers.media if one.name.startswith(f"{sent.medium.name}, ")]
            if pieces:  # the clip was shown in pieces behind time stamps, all of one size
                return pieces[0]
    return None


def _seen(conversation: Conversation, sent: Sent) -> dict[str, Any] | None:
    """What is known of a clip, as in `seen_frames.py`."""
    digest = sent.medium.file.partition(".")[0]
    nth = sum(medium.file == sent.medium.file for medium in conversation.turns[sent.turn].media[: sent.place])
    clips = seen_clips(conversation, sent.turn)
    return next((clip for clip in clips if (clip["file"], clip["nth"]) == (digest, nth)), None)


def _moment(clip: dict[str, Any] | None, named: TimeSpan | None) -> Moment:
    if clip is None:
        return Moment(named.first if named else 0.0, named, seen=False)
    times = clip["times"]
    return Moment(times[frame_of(times, named) if named else 0], named, seen=True, alone=times[0] == times[-1])


def _caption(sent: Sent, moment: Moment | None, all_sent: Sequence[Sent], *, several: bool) -> str:
    name = sent.medium.name
    if moment is None:
        pictures = [one for one in all_sent if one.turn == sent.turn and one.medium.kind == "image"]
        number = f"Picture {pictures.index(sent) + 1}: " if len(pictures) > 1 else ""
        return f"{number}{name}." if several else ""
    at = f"The frame at {_seconds(moment.seconds)} of {name}"
    if moment.alone:
        return f"The only frame of {name}."
    if moment.named is None:
        return f"The first frame of {name}, as the answer names no time of this clip."
    first, last = moment.named.first, moment.named.last
    if not moment.seen or abs(first - moment.seconds) <= SAME_TIME:
        return f"{at}, the time that the answer names."
    if first < moment.seconds <= last + SAME_TIME:
        return f"{at}: of those that the model saw, the first from {_seconds(first)} to {_seconds(last)}."
    return f"{at}: of those that the model saw, the nearest to {_seconds(first)}, which the answer names."


def _seconds(value: float) -> str:
    """ "3.5 s", "1:07" """
    whole = round(value)
    return f"{value:.1f} s" if value < 59.95 else f"{whole // 60}:{whole % 60:02}"
