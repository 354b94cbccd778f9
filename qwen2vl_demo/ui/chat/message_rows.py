"""What stands in the row under each message: versions, statistics, how an answer ended, and what can be done.

Plain JSON for static/message-rows.js, which draws the rows into the messages that Gradio has drawn, and with the boxes
of the answers for static/answer-boxes.js. A turn without an
answer, or one that is being written, has nothing to offer yet.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.answer_boxes import answer_boxes
from qwen2vl_demo.ui.chat.box_links import box_links
from qwen2vl_demo.ui.chat.conversation import ENDINGS, Conversation, Ending, cost_line
from qwen2vl_demo.ui.chat.seen_frames import seen_clips
from qwen2vl_demo.ui.media_store import MediaStore

CONTINUED: tuple[Ending, ...] = ("length", "cancelled")  # answers that can go on


def rows(
    conversation: Conversation,
    store: MediaStore,
    *,
    resumes: bool,
    trace: PromptTrace | None = None,
    model: str = "",
) -> str:
    """One object for each turn that is shown. `resumes`: the engine can go on with an answer. `store` has the pictures
    on which boxes lie. `trace` is that of the prompt which is being answered. `model` is the name of the one that
    answers now; answers of others say whose they are."""
    asked, pictures = {len(conversation.turns) - 1: trace}, _pictures(conversation)
    return json.dumps(
        [
            _row(conversation, index, pictures, resumes=resumes, trace=asked.get(index), model=model)
            | {"boxes": box_links(conversation, index, store)}
            for index in range(len(conversation.turns))
        ],
        ensure_ascii=False,
        separators=(",", ":"),
    )


def checksum(rows: str) -> str:
    """Adler-32 of what `rows` returned, as static/message-rows.js computes it of what the page has."""
    return str(zlib.adler32(rows.encode("utf-8", "replace")))


def _pictures(conversation: Conversation) -> list[dict[str, Any]]:
    """The pictures that are shown, in their order: the digest of the file, the name, the index of the question, and in
    the prompt of the next question the number as models count, from 1, and the place among all media. Those that will
    not be in it have the number 0."""
    found: list[dict[str, Any]] = []
    number = place = 0
    for at, turn in enumerate(conversation.turns):
        stays = turn.has_words or turn.answer is None
        for medium in turn.media:
            if medium.kind == "image":
                number += stays
                known = {"file": medium.file.partition(".")[0], "name": medium.name, "turn": at}
                found.append(known | {"number": number if stays else 0, "place": place})
            place += stays
    return found


def _row(
    conversation: Conversation,
    index: int,
    pictures: Sequence[dict[str, Any]],
    *,
    resumes: bool,
    trace: PromptTrace | None,
    model: str,
) -> dict[str, Any]:
    turn, versions = conversation.turns[index], conversation.versions(index)
    row: dict[str, Any] = {
        "number": turn.number,
        "pictures": [picture for picture in pictures if picture["turn"] == index],
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
    other = bool(answer.model and model) and answer.model != model
    notes = [f"Answered by {answer.model}." if other else "", ENDINGS[answer.ending] if turn.has_words else ""]
    return row | {
        "marked": _marked(conversation, index, pictures),
        "ending": answer.ending,
        "note": " ".join(filter(None, notes)),
        "statistics": cost_line(answer.numbers) if answer.numbers else "",
        "retry": last,
        "continue": last and resumes and not other and turn.has_words and answer.ending in CONTINUED,
    }


def _marked(conversation: Conversation, index: int, pictures: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The picture with the answer's boxes that can be saved and shown in the panel: the first one."""
    boxes = answer_boxes(conversation, index)
    for sent in [picture.sent for picture in boxes.pictures] if boxes else []:
        digest = sent.medium.file.partition(".")[0]
        if found := [one for one in pictures if (one["file"], one["turn"]) == (digest, sent.turn)]:
            return found[-1]
    return None
