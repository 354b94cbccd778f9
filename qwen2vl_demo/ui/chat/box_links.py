"""What the browser needs to light a box with its name and its merged tokens, as plain JSON for static/answer-boxes.js.

Names are found again in the text that the browser has drawn by their letters and digits alone, since Markdown and
spaces are drawn in many ways: each is given with how many equal ones stand before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from qwen2vl_demo.ui.chat.answer_boxes import AnswerBoxes, MarkedPicture, answer_boxes, drawn_pictures
from qwen2vl_demo.ui.chat.conversation import Conversation, Medium
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.viz.box_units import CERTAIN, THOUSANDTHS
from qwen2vl_demo.viz.boxes import Box
from qwen2vl_demo.viz.plain_boxes import BoxedAnswer

MAX_NAME = 80  # letters and digits of a name
_OTHERS = re.compile(r"[\W_]+")
_FENCE = re.compile(r"^[ \t]{0,3}(?:`{3,}|~{3,})[^\n]*$", re.MULTILINE)  # its language is not drawn


def box_links(conversation: Conversation, index: int, store: MediaStore) -> dict[str, Any] | None:
    """Of answer `index`; None without a picture on which its boxes lie."""
    marked = answer_boxes(conversation, index)
    pictures = [picture for picture, _ in drawn_pictures(marked, store)]
    if marked is None or not pictures:
        return None
    shown = {drawn.number - 1 for picture in pictures for drawn in picture.boxes}
    return {
        "pictures": [_picture(conversation, picture, store) for picture in pictures],
        "names": _names(marked.answer, shown),
        "units": _units(conversation, marked),
    }


def _picture(conversation: Conversation, picture: MarkedPicture, store: MediaStore) -> dict[str, Any]:
    def present(media: Sequence[Medium]) -> int:
        return sum(store.path(medium) is not None for medium in media)

    sent, turns = picture.sent, conversation.turns
    seconds = picture.moment.seconds if picture.moment else None
    plain = store.unmarked(picture.medium, seconds)
    return {
        "name": picture.medium.name,
        "caption": picture.caption,
        # How many questions with files stand before it in the prompt, and how many files of its own question
        "group": sum(turn.has_words and present(turn.media) > 0 for turn in turns[: sent.turn]),
        "place": present(turns[sent.turn].media[: sent.place]),
        "seconds": seconds,
        "plain": None
        if plain is None
        else plain.name,  # the file without its boxes, in the folder of the one with them
        "boxes": [
            {
                "box": drawn.number - 1,
                "label": drawn.box.label,
                "colour": drawn.colour,
                "sides": _sides(drawn.box),
                "other": None if drawn.other is None else _sides(drawn.other),
            }
            for drawn in picture.boxes
        ],
    }


def _sides(box: Box) -> list[float]:
    """Left, top, right and bottom as shares of the picture's sides."""
    return [round(side / THOUSANDTHS, 5) for side in (box.x1, box.y1, box.x2, box.y2)]


def _names(answer: BoxedAnswer, shown: set[int]) -> list[dict[str, Any]]:
    """In the order of the words. One that begins in another, or has no letter and no digit, is left out."""
    words = _FENCE.sub(lambda line: " " * len(line[0]), answer.words)
    letters, at, end = "", 0, 0
    names: list[dict[str, Any]] = []
    for name in answer.names:
        boxes = [box for box in name.boxes if box in shown]
        text = _OTHERS.sub("", answer.words[name.start : name.end])
        if not boxes or not text or len(text) > MAX_NAME or name.start < end:
            continue
        letters += _OTHERS.sub("", words[at : name.start])
        at, end = name.start, name.end
        names.append({"text": text, "nth": letters.count(text), "boxes": boxes})
    return names


def _units(conversation: Conversation, marked: AnswerBoxes) -> dict[str, Any] | None:
    """The switch between the readings; None where there is one reading only."""
    reading, choice = marked.reading, conversation.units_choice
    measured = all(picture.resized for picture in marked.pictures)
    certain = all(box.dialect in CERTAIN for box in marked.answer.boxes)
    if not measured or (choice == "auto" and (reading.by == "same" or (certain and reading.units == "thousandths"))):
        return None
    return {"choice": choice, "doubtful": reading.doubtful, "note": note(marked)}


def note(marked: AnswerBoxes) -> str:
    """How the coordinates are read, and why, in a sentence or two."""
    sizes = {picture.resized for picture in marked.pictures if picture.resized}
    size = "".join(f" ({width}x{height})" for height, width in sizes) if len(sizes) == 1 else ""
    pixels = f"pixels of the resized picture{size}"
    match marked.reading.by:
        case "doubt":
            return f"The answer does not say how its numbers count. Solid: from 0 to 1000. Dashed: {pixels}."
        case "range" if marked.reading.units == "pixels":
            return f"Read as {pixels}, as a number is above 1000."
        case "range":
            return f"Read as 0 to 1000: as {pixels} they would lie outside."
        case "model":
            units = pixels if marked.reading.units == "pixels" else "0 to 1000"
            return f"Read as {units}, as models of this family write them."
        case "choice":
            return "Read as you chose, in this whole chat."
        case _:
            return "Read as 0 to 1000."
