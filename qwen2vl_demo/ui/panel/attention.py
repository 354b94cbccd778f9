"""Where the words of the last answer looked: which words there are, and the maps of one of them, when asked.

What the page gets are plain values, JSON-ready; what it asks for is checked. Nothing is kept: each question runs the
step again, which is as much work as writing the word was. Knows no gradio; never raises for what a visitor did.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Any

from qwen2vl_demo.attention_trace import AttentionTrace, Word
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.conversation import Conversation, to_messages
from qwen2vl_demo.ui.chat.page_update import LOST, View, report
from qwen2vl_demo.ui.panel.preview import Looking
from qwen2vl_demo.ui.sessions import Draft, Session
from qwen2vl_demo.viz.attention_maps import CAVEAT, WHOSE, attention_payload, parse_selection

MOST_WORDS = 2000  # that are offered
WRITING = "The answer is being written. When it is finished, pick one of its words here to see where it looked."

NOTHING: dict[str, Any] = {"answer": "", "words": [], "note": "", "map": None}


class Attending(Looking):
    """The part of the page that asks the engine what it looked at."""

    def begin(self, session: Session, draft: Draft) -> View:
        leave(session)
        return super().begin(session, draft)

    def begin_retry(self, session: Session) -> View:
        leave(session)
        return super().begin_retry(session)

    def words(self, session: Session) -> dict[str, Any]:
        """The words of the last answer, while the panel shows the prompt that it was given to."""
        with session.lock:
            conversation, trace, shown = session.conversation, session.trace, session.seen
            writing = session.run is not None
        if conversation.last is None or trace is None or shown is not trace:
            return NOTHING  # nothing was asked, or the panel shows what is about to be sent
        if writing or conversation.last.answer is None:
            return {**NOTHING, "note": WRITING}
        if not conversation.last.counts:
            return NOTHING
        text = conversation.last.answer.text
        try:
            words = self.engine.words(trace, text)
        except UserError as problem:
            return {**NOTHING, "note": str(problem)}
        except Exception as problem:
            report(problem, "splitting an answer into words")
            return NOTHING
        return {
            **NOTHING,
            "answer": _name(trace, text),
            "words": [word.text for word in words[:MOST_WORDS]],
            "spaces": _spaces(words[:MOST_WORDS], text),
            "caveat": f"{WHOSE} {CAVEAT}",
        }

    def attend(self, session: Session, values: Sequence[Any], asked: Any) -> dict[str, Any] | None:
        """The same with the maps of one word; `asked` is what the page sent: {"answer", "word", "choice"}. None where
        something newer was asked meanwhile."""
        now = self.words(session)
        try:
            name, word, choice = asked["answer"], int(asked["word"]), parse_selection(str(asked["choice"]))
        except (KeyError, TypeError, ValueError):
            return {**now, "note": "This is no word of the answer; pick one of those that are shown."}
        if not now["answer"] or name != now["answer"]:
            return now  # another answer stands there by now, or none
        with session.lock:
            leave(session)
            cancel = session.aside = threading.Event()
            conversation = session.conversation
        try:
            trace = self._attend(conversation, values, word, cancel)
            if trace is None:
                return None
            if choice[0] is not None and not (choice[0] < trace.layers and (choice[1] or 0) < trace.heads):
                raise UserError(f"This model has {trace.layers} layers of {trace.heads} heads; choose one of them.")
            return {**now, "map": {"of": word, **attention_payload(trace, choice)}}
        except UserError as problem:
            return {**now, "note": str(problem)}
        except Exception as problem:
            report(problem, "looking at attention")
            return {**now, "note": LOST.format(self.engine.name)}
        finally:
            with session.lock:
                if session.aside is cancel:
                    session.aside = None

    def _attend(
        self, conversation: Conversation, values: Sequence[Any], word: int, cancel: threading.Event
    ) -> AttentionTrace | None:
        last = conversation.last
        assert last is not None and last.answer is not None
        messages = to_messages(conversation.answered(None), self.store.path)
        return self.engine.attend(messages, self.choices(values).options, last.answer.text, word, cancel)


def leave(session: Session) -> None:
    """Ends the look or the experiment that is going on beside the chat."""
    with session.lock:
        if session.aside is not None:
            session.aside.set()


def _name(trace: PromptTrace, text: str) -> str:
    """What an answer to a prompt is called on the page: another prompt or text, another name."""
    digest = hashlib.sha256(trace.input_ids.tobytes() + text.encode("utf-8", "replace"))
    for medium in trace.media:
        digest.update(medium.digest.encode())
    return digest.hexdigest()[:24]


def _spaces(words: Sequence[Word], text: str) -> list[bool]:
    """Whether a space stands before each word in the text, so that it can be shown as it reads."""
    found, at = [], 0
    for word in words:
        place = text.find(word.text, at)
        found.append(place > 0 and text[place - 1].isspace())
        at = place + len(word.text) if place >= 0 else at
    return found
