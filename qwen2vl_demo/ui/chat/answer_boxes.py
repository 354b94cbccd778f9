"""The boxes of an answer: on which picture of the chat they lie, and that picture with them drawn on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qwen2vl_demo.ui.chat.conversation import Conversation, Medium
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.viz.boxes import Box, parse_boxes


@dataclass(frozen=True)
class MarkedPicture:
    """A picture with the boxes of an answer."""

    medium: Medium
    boxes: tuple[Box, ...]
    file: Path


def marked_picture(conversation: Conversation, index: int, store: MediaStore) -> MarkedPicture | None:
    """What answer `index` marks; None if it names no box, or there is no picture to draw it on."""
    answer = conversation.turns[index].answer
    if answer is None or not parse_boxes(answer.text):
        return None
    picture = boxed_picture(conversation, index)
    if picture is None:
        return None
    boxes = parse_boxes(answer.text, _resized_size(conversation, picture))
    file = store.boxed(picture, boxes)
    return None if file is None else MarkedPicture(picture, boxes, file)


def boxed_picture(conversation: Conversation, index: int) -> Medium | None:
    """The picture to which the boxes in answer `index` most likely refer.

    Qwen2-VL does not say it. One picture in the turn: that one. Several: the first, unless the answer calls one by
    its number. None: the last picture before.
    """
    turn = conversation.turns[index]
    pictures = [m for m in turn.media if m.kind == "image"]
    if len(pictures) > 1 and turn.answer is not None:
        words = turn.answer.text.lower()
        for number, picture in enumerate(pictures, 1):
            if f"picture {number}" in words or f"image {number}" in words:
                return picture
    if pictures:
        return pictures[0]
    before = [m for earlier in conversation.turns[:index] for m in earlier.media if m.kind == "image"]
    return before[-1] if before else None


def _resized_size(conversation: Conversation, picture: Medium) -> tuple[int, int] | None:
    """The (height, width) in px at which the model last saw a picture, if an answer tells of all media of its turn."""
    for turn in reversed(conversation.turns):
        numbers = turn.answer.numbers if turn.answer is not None else None
        if picture in turn.media and numbers is not None and len(numbers.media) == len(turn.media):
            return numbers.media[turn.media.index(picture)].resized_size
    return None
