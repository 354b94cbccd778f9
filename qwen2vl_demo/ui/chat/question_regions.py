"""The regions of a question: how they read in the chat, and on which picture they lie.

A region stands in the question's text in the model's own markup (`processing/messages.py` `Region`), so that it is
kept, edited, exported and asked again with it. What is shown instead of the markup is "box 1" and the marked picture.
"""

from __future__ import annotations

from collections.abc import Callable

from qwen2vl_demo.processing import messages
from qwen2vl_demo.processing.messages import Region, question_parts
from qwen2vl_demo.ui.chat.conversation import Conversation, Medium
from qwen2vl_demo.viz.boxes import MAX_BOXES, Box
from qwen2vl_demo.viz.drawn_boxes import DrawnBox, coloured


def boxes_of(question: str) -> tuple[DrawnBox, ...]:
    """The regions of a question as boxes without a name, in order."""
    regions = [part for part in question_parts(question) if isinstance(part, Region)]
    return coloured([Box("", r.x1, r.y1, r.x2, r.y2) for r in regions[:MAX_BOXES]])


def readable(
    question: str, words: Callable[[str], str] = str, box: Callable[[int], str] = lambda number: f"box {number}"
) -> str:
    """The question with `box(number)` for each region, and `words` of what stands between."""
    pieces, number = [], 0
    for part in question_parts(question):
        if isinstance(part, Region):
            number += 1
            pieces.append(box(number))
        else:
            pieces.append(words(part.text))
    return "".join(pieces)


def pointed_picture(conversation: Conversation, index: int) -> Medium | None:
    """The picture on which the regions of question `index` lie; None where it has no region, or there is no picture."""
    turn = conversation.turns[index]
    if not boxes_of(turn.question):
        return None
    before = [earlier for earlier in conversation.turns[:index] if earlier.has_words]  # what its prompt holds
    pictures = [medium for shown in (*before, turn) for medium in shown.media if medium.kind == "image"]
    own = sum(medium.kind == "image" for medium in turn.media)
    at = messages.pointed_picture(turn.question, len(pictures) - own, own)
    return None if at is None else pictures[at]
