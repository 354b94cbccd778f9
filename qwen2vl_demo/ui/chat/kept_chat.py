"""A chat as its visitor's browser keeps it: up to three lines of text.

1. The conversation as JSON (`saved_chat.dumps`); empty for a chat without a question.
2. What the browser needs to know of it without reading it, as JSON: `id`, `title`, the names of its `files` in the
   media store, and the `picture` that stands for it there ("" for none).
3. The words so far of an answer that is being written, as the inside of a JSON string.

The third line grows at its end only, so that a stream of such texts sends new words and nothing else. What comes back
is a stranger's. Earlier versions kept the first line alone.
"""

from __future__ import annotations

import json

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import format_bytes
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation
from qwen2vl_demo.ui.chat.question_regions import readable
from qwen2vl_demo.ui.chat.saved_chat import MAX_SAVED, MAX_TEXT, clean, dumps, from_record, loads
from qwen2vl_demo.ui.media_store import MediaStore

MAX_TITLE = 120  # characters


def keep(conversation: Conversation, store: MediaStore) -> str:
    """The first two lines."""
    about = {
        "id": conversation.cache_salt,
        "title": _title(conversation),
        "files": list(_files(conversation)),
        "picture": _picture(conversation, store),
    }
    return f"{dumps(conversation) if conversation.turns else ''}\n{_json(about)}"


def with_words(kept: str, text: str) -> str:
    """All three lines: `kept`, and `text` as the answer so far."""
    return f"{kept}\n{_json(clean(text))[1:-1]}"


def read_kept(kept: str) -> Conversation:
    """The conversation. An answer that was being written ends where it was; one that had not begun counts as stopped.
    Raises UserError for what is none."""
    chat, _, rest = kept.partition("\n")
    words = rest.partition("\n")[2]
    if not chat:
        return Conversation()
    if len(chat) > MAX_SAVED:
        raise UserError(f"This chat has more than {format_bytes(MAX_SAVED)}.")
    return finished(from_record(loads(chat)), _text(words))


def finished(conversation: Conversation, words: str = "") -> Conversation:
    """A question whose answer was cut off (the page was closed meanwhile) counts as stopped after these `words`."""
    last = conversation.last
    return conversation.answered(Answer(words, "cancelled")) if last and last.answer is None else conversation


def _title(conversation: Conversation) -> str:
    """The first question; where nothing was typed, the name of its first file."""
    if not conversation.turns:
        return ""
    first = conversation.turns[0]
    words = readable(first.question) if first.typed or not first.media else first.media[0].name
    return " ".join(words[: 8 * MAX_TITLE].split())[:MAX_TITLE]


def _files(conversation: Conversation) -> dict[str, None]:
    return dict.fromkeys(medium.file for turn in conversation.all_turns for medium in turn.media)


def _picture(conversation: Conversation, store: MediaStore) -> str:
    """The file that shows the first picture, or else the first clip."""
    media = sorted((m for turn in conversation.turns for m in turn.media), key=lambda m: m.kind != "image")
    view = store.view(media[0]) if media else None
    return view.name if view is not None else ""


def _text(words: str) -> str:
    try:
        text = json.loads(f'"{words}"')
    except ValueError:  # not what was given to the browser
        return ""
    return clean(text)[:MAX_TEXT] if isinstance(text, str) else ""


def _json(value: object) -> str:
    """On one line and without "<", as `saved_chat.dumps`."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
