"""A chat as a file with its media embedded: JSON, which the page can import again, and HTML for reading.

Imported JSON is untrusted: the conversation is checked by `saved_chat.py`, its media by the store. The HTML is
self-contained, without scripts and links, and all text in it is escaped.
"""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files as package_files
from typing import Any

from markupsafe import Markup

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import format_bytes
from qwen2vl_demo.ui.chat.answer_boxes import answer_boxes, drawn_pictures
from qwen2vl_demo.ui.chat.box_links import note
from qwen2vl_demo.ui.chat.bubbles import NOTHING_SAID
from qwen2vl_demo.ui.chat.conversation import (
    ENDINGS,
    Conversation,
    Medium,
    Turn,
    cost_line,
    gone,
)
from qwen2vl_demo.ui.chat.question_regions import boxes_of, pointed_picture, readable
from qwen2vl_demo.ui.chat.saved_chat import from_record, loads, to_record
from qwen2vl_demo.ui.markup import render
from qwen2vl_demo.ui.media_store import MediaStore, view_remark
from qwen2vl_demo.viz.boxes import text_without_boxes

MAX_IMPORT_BYTES = 256 * 2**20


def export_json(conversation: Conversation, store: MediaStore, engine: str) -> str:
    """The conversation and its media as JSON text. `engine` is the name of what answered."""
    record = to_record(conversation) | {"engine": engine}
    del record["cache_salt"]  # the file may be passed on
    record["media"] = {
        file: base64.b64encode(path.read_bytes()).decode("ascii")
        for file, medium in _media(conversation).items()
        if (path := store.path(medium))
    }
    return json.dumps(record, ensure_ascii=False, indent=1)


def import_json(text: str | bytes, store: MediaStore) -> Conversation:
    """Reads the text of `export_json` and stores its media. Raises UserError for anything else.

    A medium must have the digest by which it is named and its kind; its file's ending is found from its content, so
    that a chat saved by an earlier version, which named some formats otherwise, opens as well.
    """
    if len(text) > MAX_IMPORT_BYTES:
        raise UserError(f"This file has more than {format_bytes(MAX_IMPORT_BYTES)}, which no chat saved here has.")
    record = loads(text)
    conversation = from_record(record)
    data = record.get("media", {})
    if not isinstance(data, dict):
        raise UserError("This saved chat cannot be read: its media should be an object.")
    files: dict[str, str] = {}  # name in the saved chat: name in the store
    for file, medium in _media(conversation).items():
        content = data.get(file)
        if content is not None:  # else it was missing when the chat was saved; the store may have it
            files[file] = store.add_bytes(_decode_base64(content, medium), medium).file

    def stored(turns: Sequence[Turn]) -> tuple[Turn, ...]:
        return tuple(
            replace(turn, media=tuple(replace(m, file=files.get(m.file, m.file)) for m in turn.media)) for turn in turns
        )

    return replace(conversation, turns=stored(conversation.turns), aside=stored(conversation.aside))


@dataclass(frozen=True)
class _Figure:
    caption: str  # the name, or a sentence if the file is gone
    uri: str | None
    video: bool = False


@dataclass(frozen=True)
class _Answer:
    text: str
    marked: tuple[_Figure, ...]  # the pictures with the answer's boxes
    cost: str
    media: tuple[str, ...]  # a line for each


@dataclass(frozen=True)
class _Turn:
    figures: tuple[_Figure, ...]
    question: str
    typed: bool
    answer: _Answer | None


def export_html(conversation: Conversation, store: MediaStore, engine: str, description: str) -> str:
    """The path of the conversation that is shown, as one self-contained HTML page."""
    return render(
        "chat_export.html",
        style=Markup((package_files("qwen2vl_demo.ui") / "static" / "export.css").read_text(encoding="utf-8")),
        engine=engine,
        description=description,
        system=conversation.system,
        turns=[_turn(conversation, index, store) for index in range(len(conversation.turns))],
    )


def _turn(conversation: Conversation, index: int, store: MediaStore) -> _Turn:
    turn = conversation.turns[index]
    answer = None
    if turn.answer is not None:
        boxes = answer_boxes(conversation, index)
        doubt = note(boxes) if boxes is not None and boxes.reading.doubtful else ""
        numbers = turn.answer.numbers
        answer = _Answer(
            text_without_boxes(turn.answer.text) or NOTHING_SAID[turn.answer.ending].strip("*"),
            tuple(
                _Figure(" ".join(filter(None, [picture.caption, doubt])), _data_uri(file.read_bytes(), file.name))
                for picture, file in drawn_pictures(boxes, store)
            ),
            " · ".join(filter(None, [ENDINGS[turn.answer.ending], cost_line(numbers) if numbers else ""])),
            tuple(map(str, numbers.media)) if numbers else (),
        )
    pointed = pointed_picture(conversation, index)
    marked_question = None if pointed is None else store.boxed(pointed, boxes_of(turn.question))
    figures = [_figure(medium, store) for medium in turn.media if marked_question is None or medium != pointed]
    if pointed is not None and marked_question is not None:
        uri = _data_uri(marked_question.read_bytes(), marked_question.name)
        figures.insert(0, _Figure(f"{pointed.name}, as it was marked", uri))
    return _Turn(tuple(figures), readable(turn.question), turn.typed, answer)


def _figure(medium: Medium, store: MediaStore) -> _Figure:
    path = store.view(medium)
    if path is None:
        return _Figure(gone(medium), None)
    uri = _data_uri(path.read_bytes(), path.name)
    part = f"All frames were taken {medium.time_range}." if medium.time_range else ""
    said = " ".join(filter(None, [view_remark(medium, path), part]))
    caption = f"{medium.name}. {said}" if said else medium.name
    return _Figure(caption, uri, video=medium.kind == "video" and uri.startswith("data:video/"))


def _data_uri(data: bytes, name: str) -> str:
    kind = "image/webp" if name.endswith(".webp") else mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _media(conversation: Conversation) -> dict[str, Medium]:
    """Every medium of a conversation, by file name; those of all versions."""
    return {medium.file: medium for turn in conversation.all_turns for medium in turn.media}


def _decode_base64(content: Any, medium: Medium) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise UserError(f"This saved chat cannot be read: {medium.name} is not base64.") from None
