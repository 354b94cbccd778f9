"""Chats that are prepared for a class: pictures with questions and answers to begin with, read from
assets/examples/chats.json.

The file is a list of {"key", "label", "turns": [{"text", "files": [names beside it], "answer"}, ...]}. The answers are
nano's, recorded, so that a chat opens at once whatever model runs; a test asks nano again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen2vl_demo.resources import EXAMPLES
from qwen2vl_demo.ui.chat.attachments import store_files
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Turn
from qwen2vl_demo.ui.example_cards import Example
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.sessions import Session

RECORDED_WITH = "nano"
RECORDED = "These answers were recorded with nano. To hear this model, press Retry or ask something else."


@dataclass(frozen=True)
class PreparedTurn:
    text: str
    answer: str
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class PreparedChat:
    """One chat with its answers."""

    key: str  # what it is called in an address: ?chat=where
    label: str
    turns: tuple[PreparedTurn, ...]

    def conversation(self, store: MediaStore, session: Session) -> Conversation:
        """The chat, with its files in the store. Raises UserError where one cannot be read."""
        chat = Conversation(system=session.conversation.system)
        for turn in self.turns:
            media, _ = store_files(store, session, [str(file) for file in turn.files])
            chat = chat.adding(Turn(turn.text, media)).answered(Answer(turn.answer, "end"))
        return chat


def load_prepared_chats(folder: Path = EXAMPLES) -> tuple[PreparedChat, ...]:
    """All whose files are there, in the order of the file; none if there is no file."""
    try:
        records = json.loads((folder / "chats.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    chats = [PreparedChat(r["key"], r["label"], tuple(_turn(turn, folder) for turn in r["turns"])) for r in records]
    return tuple(chat for chat in chats if all(file.is_file() for turn in chat.turns for file in turn.files))


def _turn(record: dict[str, Any], folder: Path) -> PreparedTurn:
    files = tuple((folder / name).resolve() for name in record.get("files", []))
    return PreparedTurn(record["text"], record["answer"], files)


def link_targets(cards: Sequence[Example], chats: Sequence[PreparedChat]) -> dict[str, list[dict[str, Any]]]:
    """What the browser is told of examples and prepared chats (static/links.js): {"key", "label", "questions",
    "files": [SHA-256 of each file of the first question]}."""

    def record(key: str, label: str, questions: Sequence[str], files: Sequence[Path]) -> dict[str, Any]:
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        return {"key": key, "label": label, "questions": list(questions), "files": digests}

    return {
        "examples": [record(card.key, card.label, [card.text], card.files) for card in cards],
        "chats": [
            record(chat.key, chat.label, [turn.text for turn in chat.turns], chat.turns[0].files) for chat in chats
        ],
    }
