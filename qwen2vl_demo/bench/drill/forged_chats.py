"""Saved chats that no page wrote, as somebody may send them to the page."""

from __future__ import annotations

import json


def answered(text: str) -> str:
    turn = {"question": "What?", "media": [], "typed": True, "answer": {"text": text, "ending": "end", "numbers": None}}
    return json.dumps({"format": "qwen2vl-demo chat", "version": 1, "turns": [turn], "system": ""})


def references(count: int) -> str:
    media = [{"kind": "image", "name": "a.png", "file": "0" * 64 + ".png"}] * count
    turn = {"question": "What?", "media": media, "typed": True, "answer": None}
    return json.dumps({"format": "qwen2vl-demo chat", "version": 1, "turns": [turn], "system": ""})
