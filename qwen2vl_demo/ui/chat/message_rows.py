"""What stands in the row under each message: versions, statistics, how an answer ended, and what can be done.

Plain JSON for static/message-rows.js, which draws the rows into the messages that Gradio has drawn, and with the boxes
of the answers for static/answer-boxes.js. A turn without an
answer, or one that is being written, has nothing to offer yet.
"""

from __future__ import annotations

import json
from typing import Any

from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.box_links import box_links
from qwen2vl_demo.ui.chat.conversation import ENDINGS, Conversation, Ending, cost_line
from qwen2vl_demo.ui.chat.seen_frames import seen_clips
from qwen2vl_demo.ui.media_store import MediaStore

CONTINUED: tuple[Ending, ...] = ("length", "cancelled")  # answers that can go on


def rows(conversation: Conversation, store: MediaStore, *, resumes: bool, trace: PromptTrace | None = None) -> str:
    """One object for each turn that is shown. `resumes`: the engine can go on with an answer. `store` has the pictures
    on which boxes lie. `trace` is that of the prompt which is being answered."""
    asked = {len(conversation.turns) - 1: trace}
    return json.dumps(
        [
            _row(conversation, index, resumes=resumes, trace=asked.get(index))
            | {"boxes": box_links(conversation, index, store)}
            for index in range(len(conversation.turns))
        ],
        ensure_ascii=False,
        separators=(",", ":"),
    )


def _row(conversation: Conversation, index: int, *, resumes: bool, trace: PromptTrace | None) -> dict[str, Any]:
    turn, versions = conversation.turns[index], conversation.versions(index)
    row: dict[str, Any] = {
        "number": turn.number,
        "questions": versions.questions,
        "question": versions.question,
        "answers": versions.answers,
        "answer": versions.answer,
    }
    if clips := seen_clips(conversation, index, trace):
        row["clips"] = clips
    if (answer := turn.answer) is None:
        return row
    last = index == len(conversation.turns) - 1
    return row | {
        "ending": answer.ending,
        "note": ENDINGS[answer.ending] if turn.has_words else "",
        "statistics": cost_line(answer.numbers) if answer.numbers else "",
        "retry": last,
        "continue": last and resumes and turn.has_words and answer.ending in CONTINUED,
    }
