"""An answer of the chat as the panel looks into it: the question as it was asked, its prompt, its words, its name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwen2vl_demo.attention_trace import Word
from qwen2vl_demo.engine.protocol import Engine, GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.conversation import Conversation
from qwen2vl_demo.ui.chat.prompts import PreparedPrompt, Prompts
from qwen2vl_demo.ui.chat.saved_chat import MAX_NAME
from qwen2vl_demo.ui.sessions import Session
from qwen2vl_demo.viz.lens_payload import ImageCache, payload

MAX_GAP = 1000  # characters between two words; a word that is not found so soon is not looked for any further


@dataclass(frozen=True)
class Answered:
    """An answer of the chat, with the question as it was asked."""

    turn: int
    question: Conversation  # up to this turn, without the answer
    options: GenerationOptions  # those that it ran with; the present ones where a chat was restored
    text: str
    model: str = ""  # the name of the model that wrote it; "" where that is not known
    remembered: bool = True  # False: the chat was restored, and what it ran with is not known


def answered_in(session: Session, turn: int) -> Answered | None:
    """The answer of a turn; None if there is none, or no word in it."""
    with session.lock:
        conversation, shown = session.conversation, session.shown
        if not 0 <= turn < len(conversation.turns):
            return None
        asked = replace(conversation, turns=conversation.turns[: turn + 1])
        ran = session.ran.get(asked.answered(None).turns)
    last = asked.last
    if last is None or last.answer is None or not last.has_words:
        return None
    question = asked.answered(None)
    if ran is not None:
        return Answered(turn, replace(question, system=ran.system), ran.options, last.answer.text, last.answer.model)
    options = shown.options if shown else GenerationOptions()
    return Answered(turn, question, options, last.answer.text, last.answer.model, remembered=False)


def check_author(answered: Answered, engine: Engine) -> None:
    """Raises UserError where another model than this engine's wrote an answer."""
    if answered.model not in ("", engine.name[:MAX_NAME]):
        raise UserError(f"{answered.model} wrote this answer. Choose it again to see where its words looked.")


def answered_trace(session: Session, answered: Answered, prompts: Prompts) -> PromptTrace:
    """The trace that was answered: the one that the panel has, if it was prepared alike. Raises UserError."""
    with session.lock:
        shown = session.shown
    if (
        shown is not None
        and not shown.draft
        and _alike(shown.options, answered.options)
        and shown.conversation.answered(None) == answered.question
    ):
        return shown.trace
    return prompts.prepare(answered.question, answered.options).trace


def as_it_was(
    prepared: PreparedPrompt, answered: Answered, engine: Engine, images: ImageCache | None = None
) -> dict[str, Any]:
    """What the lens draws for the prompt that was answered."""
    media = prepared.prompt.media
    return payload(
        prepared.trace,
        [medium.frames for medium in media],
        [medium.thumbnail for medium in media],
        limits=engine.pixel_limits,
        answered=answered.turn + 1,
        images=images,
    )


def answer_id(trace: PromptTrace, text: str) -> str:
    """Identifies an answer to a prompt on the page; another prompt or text has another id."""
    digest = hashlib.sha256(trace.input_ids.tobytes() + text.encode("utf-8", "replace"))
    for medium in trace.media:
        digest.update(medium.digest.encode())
    return digest.hexdigest()[:24]


def spaces_before(words: Sequence[Word], text: str) -> list[bool]:
    """Whether a space stands before each word in the text, so that it can be shown as it reads."""
    found, start = [], 0
    for word in words:
        index = text.find(word.text, start, start + len(word.text) + MAX_GAP)
        found.append(index > 0 and text[index - 1].isspace())
        start = index + len(word.text) if index >= 0 else start
    return found


def _alike(one: GenerationOptions, other: GenerationOptions) -> bool:
    """Whether prompts are prepared alike with these."""
    return (one.media, one.add_vision_id, one.positions) == (other.media, other.add_vision_id, other.positions)
