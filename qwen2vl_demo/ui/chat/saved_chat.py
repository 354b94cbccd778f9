"""Conversations as JSON, and back.

JSON comes from a file or from a browser's storage and is untrusted: the type, length and range of every value are
checked before a `Conversation` is built, and unknown keys are dropped. Anything invalid raises a UserError that states
where it is. Media are referred to by file name; whether the files exist is checked by the store.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar, cast

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import WHOLE_CLIP, TimeRange
from qwen2vl_demo.ui.chat.conversation import (
    ENDINGS,
    MAX_TIMES,
    Answer,
    Conversation,
    Ending,
    Medium,
    MediumKind,
    MediumNumbers,
    Numbers,
    Turn,
)
from qwen2vl_demo.viz.box_units import CHOICES, KNOWN

T = TypeVar("T")
FORMAT = "qwen2vl-demo chat"
VERSION = 1
MAX_TURNS = 500  # versions that are not shown included
MAX_MEDIA = 256  # in one turn
MAX_CHAT_MEDIA = 500  # in all turns together, each time that one is sent
MAX_NOTES = 8  # below one answer
MAX_TEXT = 200_000  # characters in one question or answer
MAX_CHAT_TEXT = 600_000  # characters of all questions and answers; all are drawn anew when a page is loaded
MAX_SAVED = 5 * 2**20  # bytes that a browser may send of a chat, where it is all text of several bytes
MAX_INTEGER = 2**53
MAX_NAME = 200
MAX_REMARK = 1000
FILE_NAME = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{1,5}")
CACHE_SALT = re.compile(r"[0-9a-f]{32}")


def to_record(conversation: Conversation) -> dict[str, Any]:
    """JSON-ready, for the browser of its visitor; media are included by file name only."""
    return {"format": FORMAT, "version": VERSION, **asdict(conversation)}


def dumps(conversation: Conversation) -> str:
    """JSON on one line and without "<", so that it can be embedded in HTML."""
    text = json.dumps(to_record(conversation), ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def loads(text: str | bytes) -> Any:
    """Parses untrusted JSON. Raises UserError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise UserError("This file is not JSON; choose a chat that was saved here with Save JSON.") from None


def from_record(value: Any) -> Conversation:
    """The conversation in a parsed record. Raises UserError for anything that is not one."""
    record = _object(value, "the file")
    if record.get("format") != FORMAT:
        raise UserError("This JSON is not a chat of this page; choose one that was saved here with Save JSON.")
    if record.get("version") != VERSION:
        raise UserError(
            f"This chat has version {str(record.get('version'))[:20]!r}, and this page reads version {VERSION}; "
            "save it again with the page it came from."
        )
    turns = _list(record.get("turns"), "turns", MAX_TURNS)
    aside = _list(record.get("aside", []), "the other versions", MAX_TURNS)  # chats of earlier versions have none
    conversation = Conversation(
        turns=tuple(_turn(turn, f"turn {number}") for number, turn in enumerate(turns, 1)),
        system=_text(record.get("system", ""), "the system prompt"),
        aside=tuple(_turn(turn, f"version {number}") for number, turn in enumerate(aside, 1)),
        units_choice=_units(record.get("units_choice", "auto"), CHOICES, "the chat"),
    )
    check_size(conversation)
    _check_tree(conversation)
    salt = record.get("cache_salt")
    if isinstance(salt, str) and CACHE_SALT.fullmatch(salt):  # a saved file has none, as it may be passed on
        conversation = replace(conversation, cache_salt=salt)
    return conversation


def check_size(conversation: Conversation) -> None:
    """Raises UserError for a conversation that has become longer than one that can be opened again."""
    turns = conversation.all_turns
    media = sum(len(turn.media) for turn in turns)
    text = sum(len(turn.question) + (len(turn.answer.text) if turn.answer else 0) for turn in turns)
    versions = " with all their versions" if conversation.aside else ""
    for number, most, what in (
        (len(turns), MAX_TURNS, "questions"),
        (media, MAX_CHAT_MEDIA, "pictures and clips"),
        (text, MAX_CHAT_TEXT, "characters"),
    ):
        if number > most:
            raise UserError(
                f"This chat has {number:,} {what}{versions}, and {most:,} fit; press New chat to begin another."
            )


def _check_tree(conversation: Conversation) -> None:
    """Each version has a number of its own, and follows nothing or an earlier turn that is there."""
    numbers = {turn.number for turn in conversation.all_turns}
    if len(numbers) < len(conversation.all_turns):
        raise _invalid("two of its turns have the same number")
    for turn in conversation.aside:
        if not 0 <= turn.after < turn.number or (turn.after and turn.after not in numbers):
            raise _invalid("a version has no place in it")


def clean(text: str) -> str:
    """Replaces lone surrogates, which JSON can contain but UTF-8 cannot, by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _turn(value: Any, where: str) -> Turn:
    turn = _object(value, where)
    media = tuple(_medium(m, where) for m in _list(turn.get("media", []), f"the media of {where}", MAX_MEDIA))
    answer = turn.get("answer")
    return Turn(
        question=_text(turn.get("question"), f"the question of {where}"),
        media=media,
        typed=turn.get("typed", True) is not False,
        answer=None if answer is None else _answer(answer, where),
        number=_integer(turn.get("number", 0), where),
        after=_integer(turn.get("after", 0), where),
    )


def _medium(value: Any, where: str) -> Medium:
    medium = _object(value, f"a medium of {where}")
    file = medium.get("file")
    if not isinstance(file, str) or not FILE_NAME.fullmatch(file):
        raise _invalid(f"a medium of {where} has no proper file name")
    name = _text(medium.get("name"), f"a name in {where}", MAX_NAME)
    return Medium(_kind(medium, where), file, name, _time_range(medium.get("time_range"), where))


def _time_range(value: Any, where: str) -> TimeRange:
    if value is None:  # chats of earlier versions have none
        return WHOLE_CLIP
    record = _object(value, f"the part of a clip of {where}")
    start, end = record.get("start", 0.0), record.get("end")
    try:
        return TimeRange(_number(start, where), None if end is None else _number(end, where))
    except UserError:
        raise _invalid(f"the part of a clip of {where} is none") from None


def _answer(value: Any, where: str) -> Answer:
    answer = _object(value, f"the answer of {where}")
    ending = answer.get("ending")
    if ending not in ENDINGS:
        raise _invalid(f"the answer of {where} ends in no known way")
    numbers = answer.get("numbers")
    return Answer(
        text=_text(answer.get("text"), f"the answer of {where}"),
        ending=cast(Ending, ending),
        numbers=None if numbers is None else _numbers(_object(numbers, f"the numbers of {where}"), where),
        model=_text(answer.get("model", ""), f"the model of {where}", MAX_NAME),
        box_units=_units(answer.get("box_units", ""), KNOWN, f"the answer of {where}"),
    )


def _numbers(value: dict[str, Any], where: str) -> Numbers:
    def optional(key: str) -> float | None:
        return None if value.get(key) is None else _number(value[key], where)

    media = _list(value.get("media", []), f"the numbers of {where}", MAX_MEDIA)
    notes = _list(value.get("notes", []), f"the notes of {where}", MAX_NOTES)
    return Numbers(
        prompt_tokens=_integer(value.get("prompt_tokens"), where),
        media_tokens=_integer(value.get("media_tokens"), where),
        new_tokens=_integer(value.get("new_tokens"), where),
        first_token=optional("first_token"),
        decode=optional("decode"),
        temperature=_number(value.get("temperature"), where),
        seed=None if value.get("seed") is None else _integer(value["seed"], where),
        media=tuple(_medium_numbers(m, where) for m in media),
        reused_tokens=_integer(value.get("reused_tokens", 0), where),
        notes=tuple(_text(n, f"a note of {where}", MAX_NAME) for n in notes),
        remark=_text(value.get("remark", ""), f"the remark of {where}", MAX_REMARK),
    )


def _medium_numbers(value: Any, where: str) -> MediumNumbers:
    record = _object(value, f"the numbers of {where}")
    times = _list(record.get("timestamps", []), f"the times of {where}", MAX_TIMES)

    def integers(key: str, length: int) -> tuple[int, ...]:
        values = _list(record.get(key), f"the numbers of {where}", length)
        if len(values) != length:
            raise _invalid(f"the numbers of {where} are incomplete")
        return tuple(_integer(v, where) for v in values)

    return MediumNumbers(
        kind=_kind(record, where),
        name=_text(record.get("name"), f"a name in {where}", MAX_NAME),
        original_size=cast(tuple[int, int], integers("original_size", 2)),
        resized_size=cast(tuple[int, int], integers("resized_size", 2)),
        grid_thw=cast(tuple[int, int, int], integers("grid_thw", 3)),
        merged_tokens=_integer(record.get("merged_tokens"), where),
        timestamps=tuple(_number(time, where) for time in times),
        duration=_number(record.get("duration", 0.0), where),
    )


def _units(value: Any, known: Sequence[T], what: str) -> T:
    if value not in known:
        raise _invalid(f"the boxes of {what} count in no known units")
    return known[known.index(value)]


def _kind(record: dict[str, Any], where: str) -> MediumKind:
    if record.get("kind") not in ("image", "video"):
        raise _invalid(f"a medium of {where} is neither an image nor a video")
    return cast(MediumKind, record["kind"])


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(f"{what} should be an object")
    return value


def _list(value: Any, what: str, max_length: int) -> list[Any]:
    if not isinstance(value, list):
        raise _invalid(f"{what} should be a list")
    if len(value) > max_length:
        raise _invalid(f"{what}: {len(value)} are more than the {max_length} allowed")
    return value


def _text(value: Any, what: str, max_length: int = MAX_TEXT) -> str:
    if not isinstance(value, str):
        raise _invalid(f"{what} should be text")
    if len(value) > max_length:
        raise _invalid(f"{what} is longer than {max_length:,} characters")
    return clean(value)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid(f"a number of {where} is none")
    if not 0 <= value < 1e12:  # false for NaN
        raise _invalid(f"a number of {where} is out of range")
    return float(value)


def _integer(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _invalid(f"a number of {where} is no whole one")
    if not 0 <= value < MAX_INTEGER:
        raise _invalid(f"a number of {where} is out of range")
    return value


def _invalid(what: str) -> UserError:
    return UserError(f"This saved chat cannot be read: {what}.")
