"""A conversation as JSON, and back. The way in is the guarded one: whoever holds the file or the browser wrote it.

Every value is checked for its type, length and range before a Conversation is built, unknown keys are dropped, and
whatever does not fit is a UserError that says where. Knows no files: whether the media exist is the store's business.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict
from typing import Any, cast

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.conversation import (
    Answer,
    Conversation,
    Ending,
    Medium,
    MediumKind,
    MediumNumbers,
    Numbers,
    Turn,
)

FORMAT = "qwen2vl-demo chat"
VERSION = 1
MAX_TURNS = 500
MAX_MEDIA = 256  # of one turn
MAX_TEXT = 200_000  # characters of one question or answer
MAX_NAME = 200
FILE_NAME = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{1,5}")


def to_record(conversation: Conversation) -> dict[str, Any]:
    """JSON-ready; media by name only."""
    return {"format": FORMAT, "version": VERSION, **asdict(conversation)}


def dumps(conversation: Conversation) -> str:
    """One line without a "<", so that nothing on its way takes it for HTML."""
    text = json.dumps(to_record(conversation), ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def loads(text: str | bytes) -> Any:
    """The JSON value in a text that came from outside. Raises UserError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise UserError("This file is not JSON; choose a chat that was saved here with Save JSON.") from None


def from_record(value: Any) -> Conversation:
    """Raises UserError for whatever is not a conversation."""
    record = _object(value, "the file")
    if record.get("format") != FORMAT:
        raise UserError("This JSON is not a chat of this page; choose one that was saved here with Save JSON.")
    if record.get("version") != VERSION:
        raise UserError(
            f"This chat has version {str(record.get('version'))[:20]!r}, and this page reads version {VERSION}; "
            "save it again with the page it came from."
        )
    turns = _list(record.get("turns"), "turns", MAX_TURNS)
    return Conversation(
        turns=tuple(_turn(turn, f"turn {number}") for number, turn in enumerate(turns, 1)),
        system=_text(record.get("system", ""), "the system prompt"),
    )


def clean(text: str) -> str:
    """Text that can be encoded: half a surrogate pair, which JSON can smuggle in, becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _turn(value: Any, at: str) -> Turn:
    turn = _object(value, at)
    media = tuple(_medium(m, at) for m in _list(turn.get("media", []), f"the media of {at}", MAX_MEDIA))
    answer = turn.get("answer")
    return Turn(
        question=_text(turn.get("question"), f"the question of {at}"),
        media=media,
        typed=turn.get("typed", True) is not False,
        answer=None if answer is None else _answer(answer, at),
    )


def _medium(value: Any, at: str) -> Medium:
    medium = _object(value, f"a medium of {at}")
    file = medium.get("file")
    if not isinstance(file, str) or not FILE_NAME.fullmatch(file):
        raise _wrong(f"a medium of {at} has no proper file name")
    return Medium(_kind(medium, at), file, _text(medium.get("name"), f"a name in {at}", MAX_NAME))


def _answer(value: Any, at: str) -> Answer:
    answer = _object(value, f"the answer of {at}")
    ending = answer.get("ending")
    if ending not in ("end", "length", "cancelled", "error"):
        raise _wrong(f"the answer of {at} ends in no known way")
    numbers = answer.get("numbers")
    return Answer(
        text=_text(answer.get("text"), f"the answer of {at}"),
        ending=cast(Ending, ending),
        numbers=None if numbers is None else _numbers(_object(numbers, f"the numbers of {at}"), at),
    )


def _numbers(value: dict[str, Any], at: str) -> Numbers:
    def optional(key: str) -> float | None:
        return None if value.get(key) is None else _number(value[key], at)

    return Numbers(
        prompt_tokens=_integer(value.get("prompt_tokens"), at),
        media_tokens=_integer(value.get("media_tokens"), at),
        new_tokens=_integer(value.get("new_tokens"), at),
        first_token=optional("first_token"),
        decode=optional("decode"),
        temperature=_number(value.get("temperature"), at),
        seed=None if value.get("seed") is None else _integer(value["seed"], at),
        media=tuple(_medium_numbers(m, at) for m in _list(value.get("media", []), f"the numbers of {at}", MAX_MEDIA)),
        reused_tokens=_integer(value.get("reused_tokens", 0), at),
    )


def _medium_numbers(value: Any, at: str) -> MediumNumbers:
    record = _object(value, f"the numbers of {at}")

    def row(key: str, length: int) -> tuple[int, ...]:
        values = _list(record.get(key), f"the numbers of {at}", length)
        if len(values) != length:
            raise _wrong(f"the numbers of {at} are incomplete")
        return tuple(_integer(v, at) for v in values)

    return MediumNumbers(
        kind=_kind(record, at),
        name=_text(record.get("name"), f"a name in {at}", MAX_NAME),
        original_size=cast(tuple[int, int], row("original_size", 2)),
        resized_size=cast(tuple[int, int], row("resized_size", 2)),
        grid_thw=cast(tuple[int, int, int], row("grid_thw", 3)),
        merged_tokens=_integer(record.get("merged_tokens"), at),
    )


def _kind(record: dict[str, Any], at: str) -> MediumKind:
    if record.get("kind") not in ("image", "video"):
        raise _wrong(f"a medium of {at} is neither an image nor a video")
    return cast(MediumKind, record["kind"])


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(f"{what} should be an object")
    return value


def _list(value: Any, what: str, most: int) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(f"{what} should be a list")
    if len(value) > most:
        raise _wrong(f"{what}: {len(value)} are more than the {most} allowed")
    return value


def _text(value: Any, what: str, most: int = MAX_TEXT) -> str:
    if not isinstance(value, str):
        raise _wrong(f"{what} should be text")
    if len(value) > most:
        raise _wrong(f"{what} is longer than {most:,} characters")
    return clean(value)


def _number(value: Any, at: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(f"a number of {at} is none")
    if not math.isfinite(value) or not 0 <= value < 1e12:
        raise _wrong(f"a number of {at} is out of range")
    return float(value)


def _integer(value: Any, at: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(f"a number of {at} is no whole one")
    if not 0 <= value < 2**53:
        raise _wrong(f"a number of {at} is out of range")
    return value


def _wrong(what: str) -> UserError:
    return UserError(f"This saved chat cannot be read: {what}.")
