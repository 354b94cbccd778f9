"""Which frames of a turn's clips the model saw, for the strip under each player (static/clock.js).

The times are those of the prompt that was answered, as they were kept with the answer. A clip can have become several
media of the prompt: pairs of frames behind time stamps, or pictures where a server takes no clips.
"""

from __future__ import annotations

from typing import Any

from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.conversation import Conversation, MediumNumbers, Turn, numbers_of


def seen_clips(conversation: Conversation, index: int, trace: PromptTrace | None = None) -> list[dict[str, Any]]:
    """One object for each clip of a turn whose frames are known, as JSON-ready data.

    `trace` is that of the prompt which asks the turn, where its answer is not written yet. Otherwise the numbers of its
    answer count, or, where it has none, those of another answer to the same question.
    """
    turn = conversation.turns[index]
    if not any(medium.kind == "video" for medium in turn.media):
        return []
    if trace is not None:
        numbers = numbers_of(trace, len(turn.media))
    else:
        numbers = _kept(turn) or next((kept for t in _others(conversation, turn) if (kept := _kept(t))), ())
    return _clips(turn, numbers)


def _others(conversation: Conversation, turn: Turn) -> list[Turn]:
    same = [other for other in conversation.all_turns if other.after == turn.after and other.asks_the_same(turn)]
    return sorted(same, key=lambda other: other.number, reverse=True)


def _kept(turn: Turn) -> tuple[MediumNumbers, ...]:
    return turn.answer.numbers.media if turn.answer is not None and turn.answer.numbers is not None else ()


def _clips(turn: Turn, numbers: tuple[MediumNumbers, ...]) -> list[dict[str, Any]]:
    clips, at, count, files = [], 0, 0, list[str]()
    for medium in turn.media:
        digest = medium.file.partition(".")[0]
        files.append(digest)
        count += medium.kind == "video"
        rest = numbers[at:]
        taken = _of_clip(medium.name, rest) if medium.kind == "video" else _of_picture(medium.name, rest)
        at += len(taken)
        times = [time for one in taken for time in one.timestamps]
        if medium.kind == "image" or not times or not taken[0].duration:
            continue
        start, end = medium.time_range.within(taken[0].duration)
        clips.append(
            {
                "file": digest,
                "nth": files.count(digest) - 1,  # among the players of this file in the question
                "number": count,  # among the clips of the question
                "name": medium.name,
                "times": times,
                "duration": taken[0].duration,
                "range": [start, end] if medium.time_range else None,
                # Without a written time the model cannot know that its clip is a part of a longer one.
                "from": 0.0 if taken[0].name != medium.name else start,
            }
        )
    return clips


def _of_picture(name: str, numbers: tuple[MediumNumbers, ...]) -> tuple[MediumNumbers, ...]:
    """Nothing, where its file was gone."""
    return numbers[:1] if numbers and numbers[0].name == name else ()


def _of_clip(name: str, numbers: tuple[MediumNumbers, ...]) -> tuple[MediumNumbers, ...]:
    """Those at the beginning that a clip of this name became."""
    if not numbers or numbers[0].name == name:
        return numbers[:1]
    count, last = 0, -1.0
    for one in numbers:  # the pieces of the next clip, which can have the same name, begin earlier again
        if not one.timestamps or not one.name.startswith(f"{name}, ") or one.timestamps[0] < last:
            break
        count, last = count + 1, one.timestamps[-1]
    return numbers[:count]
