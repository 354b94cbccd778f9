"""Where the words of the last answer looked: which words there are, and the maps of one of them when it is picked.

The page gets plain JSON-ready values, and what it sends is checked. No map is kept: each request runs the model's step
again, which is as much work as writing the word was. Nothing is raised for what a visitor did.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from qwen2vl_demo.attention_trace import AttentionTrace, Word
from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.conversation import Conversation
from qwen2vl_demo.ui.chat.page_update import FAILED, report
from qwen2vl_demo.ui.chat.prompts import Prompts
from qwen2vl_demo.ui.chat.streaming import in_turn
from qwen2vl_demo.ui.sessions import Session, ShownPrompt
from qwen2vl_demo.ui.worker_threads import WorkerThreads
from qwen2vl_demo.viz.attention_maps import CAVEAT, WHOSE, attention_payload, parse_selection

MAX_WORDS = 2000  # offered at most
MAX_GAP = 1000  # characters between two words; a word that is not found so soon is not looked for any further
WRITING = "The answer is being written. When it is finished, pick one of its words here to see where it looked."
OTHER_EYES = (
    "Attention is that of {0}, which saw the picture with its own eyes. Switch “Whose eyes” to this model, and pick a "
    "word of the answer to see where it looked."
)

NO_WORDS: dict[str, Any] = {"answer": "", "words": [], "note": "", "map": None}


class AnswerAttention:
    """Asks the engine what the words of an answer attended to."""

    def __init__(self, engine: Engine, prompts: Prompts, threads: WorkerThreads) -> None:
        self._engine, self._prompts, self._threads = engine, prompts, threads

    def words(self, session: Session) -> dict[str, Any]:
        """The words of the last answer, while the panel shows the prompt that it was given to."""
        with session.lock:
            conversation, shown, writing = session.conversation, session.shown, session.run is not None
        if not self._engine.abilities.attention:
            return NO_WORDS
        if not _shows_the_last_question(shown, conversation):
            return NO_WORDS
        if shown is not None and shown.eyes != "model":
            return {**NO_WORDS, "note": OTHER_EYES.format(self._engine.name)}
        if writing or conversation.last is None or conversation.last.answer is None:
            return {**NO_WORDS, "note": WRITING}
        if shown is None or not conversation.last.has_words:
            return NO_WORDS
        text = conversation.last.answer.text
        try:
            words = self._engine.answer_words(shown.trace, text)[:MAX_WORDS]
        except UserError as problem:
            return {**NO_WORDS, "note": str(problem)}
        except Exception as problem:
            report(problem, "splitting an answer into words")
            return NO_WORDS
        return {
            **NO_WORDS,
            "answer": _answer_id(shown.trace, text),
            "words": [word.text for word in words],
            "spaces": _spaces(words, text),
            "caveat": f"{WHOSE} {CAVEAT}",
        }

    async def map_word(self, session: Session, request: Any) -> dict[str, Any] | None:
        """The same with the maps of one word. None if something newer was asked meanwhile.

        `request` is what the page sent: {"answer": its id, "word": index, "choice": which layer and head}.
        """
        offered = self.words(session)
        try:
            answer_id, word, selection = (
                request["answer"],
                int(request["word"]),
                parse_selection(str(request["choice"])),
            )
        except (KeyError, OverflowError, TypeError, ValueError):
            return {**offered, "note": "This is no word of the answer; pick one of those that are shown."}
        if not offered["answer"] or answer_id != offered["answer"]:
            return offered  # another answer is shown by now, or none
        with session.lock:
            cancel = session.begin_side_task()
            conversation, shown = session.conversation, session.shown
        try:
            trace = await self._attention(session, conversation, shown, word, cancel)
            if trace is None:
                return None
            if selection[0] is not None and not (selection[0] < trace.layers and (selection[1] or 0) < trace.heads):
                raise UserError(f"This model has {trace.layers} layers of {trace.heads} heads; choose one of them.")
            return {**offered, "map": {"of": word, **attention_payload(trace, selection)}}
        except Cancelled:
            return None
        except UserError as problem:
            return {**offered, "note": str(problem)}
        except Exception as problem:
            report(problem, "computing attention")
            return {**offered, "note": FAILED.format(self._engine.name)}
        finally:
            session.end_side_task(cancel)

    async def _attention(
        self,
        session: Session,
        conversation: Conversation,
        shown: ShownPrompt | None,
        word: int,
        cancel: threading.Event,
    ) -> AttentionTrace | None:
        assert shown is not None and conversation.last is not None and conversation.last.answer is not None
        prepared = await self._threads.run_for(
            session, self._prompts.prepare, shown.conversation, shown.options, cancel
        )
        ticket = self._engine.queue.join()
        compute = partial(
            self._engine.word_attention, prepared.prompt, conversation.last.answer.text, word, cancel, ticket=ticket
        )
        return await in_turn(ticket, cancel, compute, self._threads)


def _shows_the_last_question(shown: ShownPrompt | None, conversation: Conversation) -> bool:
    """Whether the panel shows the prompt of the last question, and not an older chat or what is about to be sent."""
    if shown is None or shown.draft or conversation.last is None:
        return False
    return shown.conversation.answered(None) == conversation.answered(None)


def _answer_id(trace: PromptTrace, text: str) -> str:
    """Identifies an answer to a prompt on the page; another prompt or text has another id."""
    digest = hashlib.sha256(trace.input_ids.tobytes() + text.encode("utf-8", "replace"))
    for medium in trace.media:
        digest.update(medium.digest.encode())
    return digest.hexdigest()[:24]


def _spaces(words: Sequence[Word], text: str) -> list[bool]:
    """Whether a space stands before each word in the text, so that it can be shown as it reads."""
    found, start = [], 0
    for word in words:
        index = text.find(word.text, start, start + len(word.text) + MAX_GAP)
        found.append(index > 0 and text[index - 1].isspace())
        start = index + len(word.text) if index >= 0 else start
    return found
