"""A chat as a file with its media embedded: JSON, which the page can import again, and HTML for reading.

Imported JSON is untrusted: the conversation is checked by `saved_chat.py`, its media by the store. The HTML is
self-contained, without scripts and links, and all text in it is escaped.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import mimetypes
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.bubbles import NOTHING_SAID
from qwen2vl_demo.ui.chat.conversation import (
    Conversation,
    Medium,
    Turn,
    boxed_picture,
    cost_line,
    gone,
)
from qwen2vl_demo.ui.chat.saved_chat import from_record, loads, to_record
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.viz.boxes import parse_boxes, readable

MAX_IMPORT_BYTES = 256 * 2**20


def export_json(conversation: Conversation, store: MediaStore, engine: str) -> str:
    """The conversation and its media as JSON text. `engine` is the name of what answered."""
    record = to_record(conversation) | {"engine": engine}
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
        raise UserError(f"This file has more than {MAX_IMPORT_BYTES // 2**20} MiB, which no chat saved here has.")
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
    turns = (
        replace(turn, media=tuple(replace(m, file=files.get(m.file, m.file)) for m in turn.media))
        for turn in conversation.turns
    )
    return replace(conversation, turns=tuple(turns))


def export_html(conversation: Conversation, store: MediaStore, engine: str, description: str) -> str:
    """The conversation as one self-contained HTML page."""
    turns = "\n".join(_turn(conversation, index, store) for index in range(len(conversation.turns)))
    system = f'<p class="system"><b>System prompt</b> {_words(conversation.system)}</p>' if conversation.system else ""
    style = (Path(__file__).parent.parent / "static" / "export.css").read_text(encoding="utf-8")
    engine, about = html.escape(engine), html.escape(description)
    return PAGE.format(style=style, engine=engine, about=about, system=system, turns=turns)


def _turn(conversation: Conversation, index: int, store: MediaStore) -> str:
    turn: Turn = conversation.turns[index]
    media = "".join(_figure(medium, store) for medium in turn.media)
    note = "" if turn.typed else "<small>Nothing was typed, so this is asked.</small>"
    blocks = [f'<section class="question"><h2>Question</h2>{media}<p>{_words(turn.question)}</p>{note}</section>']
    if turn.answer is not None:
        boxes = parse_boxes(turn.answer.text)
        picture = boxed_picture(conversation, index) if boxes else None
        drawn = store.boxed(picture, boxes) if picture else None
        marked = f'<img src="{_data_uri(drawn.read_bytes(), drawn.name)}" alt="marked picture">' if drawn else ""
        said = _words(readable(turn.answer.text)) or html.escape(NOTHING_SAID[turn.answer.ending].strip("*"))
        cost = cost_line(turn.answer.numbers, turn.answer.ending) if turn.answer.numbers else ""
        sizes = "".join(f"<br>{html.escape(str(m))}" for m in turn.answer.numbers.media) if turn.answer.numbers else ""
        blocks.append(
            f'<section class="answer"><h2>Answer</h2><p>{said}</p>{marked}'
            f"<small>{html.escape(cost)}{sizes}</small></section>"
        )
    return "\n".join(blocks)


def _figure(medium: Medium, store: MediaStore) -> str:
    path = store.view(medium)
    if path is None:
        return f"<p><em>{html.escape(gone(medium))}</em></p>"
    uri, name = _data_uri(path.read_bytes(), path.name), html.escape(medium.name, quote=True)
    if medium.kind == "video" and uri.startswith("data:video/"):
        return f'<figure><video src="{uri}" controls></video><figcaption>{name}</figcaption></figure>'
    return f'<figure><img src="{uri}" alt="{name}"><figcaption>{name}</figcaption></figure>'


def _data_uri(data: bytes, name: str) -> str:
    kind = "image/webp" if name.endswith(".webp") else mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _words(text: str) -> str:
    return html.escape(text)


def _media(conversation: Conversation) -> dict[str, Medium]:
    """Every medium of a conversation, by file name."""
    return {medium.file: medium for turn in conversation.turns for medium in turn.media}


def _decode_base64(content: Any, medium: Medium) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise UserError(f"This saved chat cannot be read: {medium.name} is not base64.") from None


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'">
<title>A chat with Qwen2-VL</title><style>{style}</style></head>
<body><header><h1>A chat with Qwen2-VL</h1><p>{engine}, {about}</p>{system}</header>
{turns}
</body></html>
"""
