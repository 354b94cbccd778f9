"""Where the words of the answers looked: which words there are, and the maps of one of them when it is picked.

Attention belongs to the prompt that was answered. If the panel draws another one by now, because a setting was changed,
an older answer is looked at, or the panel sees with other eyes, the prompt as it was comes along with the map.

The page gets plain JSON-ready values, and what it sends is checked. No map is kept: each request runs the model's step
again, which is as much work as writing the word was. Nothing is raised for what a visitor did.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from qwen2vl_demo.attention_trace import AttentionTrace
from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.ui.chat.conversation import Conversation
from qwen2vl_demo.ui.chat.page_update import FAILED, report
from qwen2vl_demo.ui.chat.prompts import PreparedPrompt, Prompts
from qwen2vl_demo.ui.chat.streaming import in_turn
from qwen2vl_demo.ui.panel.answered import (
    Answered,
    answer_id,
    answered_in,
    answered_trace,
    as_it_was,
    check_author,
    spaces_before,
)
from qwen2vl_demo.ui.sessions import Session, ShownPrompt
from qwen2vl_demo.ui.worker_threads import WorkerThreads
from qwen2vl_demo.viz.attention_maps import BUDGET, CAVEAT, WHOSE, attention_payload, neutral_payload, parse_selection
from qwen2vl_demo.viz.lens_payload import new_image_cache, payload_key

MAX_WORDS = 2000  # offered at most
MAX_TOKENS = 8192  # of an answer that are shown behind its prompt
MAX_CLICKED = 200  # characters of a word that was clicked
NEUTRAL = "Describe."  # what its attention looks at, every question's does
CHEAP = 0.5  # seconds of an attention map, below which that of the neutral question is computed without being asked for
ANY_ANSWER = "A"  # a single token: only the query before it counts, which sees the question and no answer
WRITING = "The answer is being written. When it is finished, pick one of its words here to see where it looked."
NO_WORD = "This is no word of the answer; pick one of those that are shown."

NO_WORDS: dict[str, Any] = {"answer": "", "words": [], "note": "", "map": None}


class AnswerAttention:
    """Asks the engine what the words of an answer attended to."""

    def __init__(self, engine: Engine, prompts: Prompts, threads: WorkerThreads) -> None:
        self._engine, self._prompts, self._threads = engine, prompts, threads
        self._images = new_image_cache()

    def words(self, session: Session) -> dict[str, Any]:
        """The words of the last answer, while the panel shows the question that it was given to."""
        with session.lock:
            conversation, shown, writing = session.conversation, session.shown, session.run is not None
        if shown is None or not _shows_the_last_question(shown, conversation):
            return NO_WORDS
        answer = conversation.last.answer if conversation.last else None
        remark = answer.numbers.remark if answer is not None and answer.numbers is not None else ""
        told = {"key": payload_key(shown.drawn), "remark": remark} if remark and not writing else {}
        if not self._engine.abilities.attention:
            return NO_WORDS | told
        if writing or answer is None:
            return {**NO_WORDS, "note": WRITING}
        answered = answered_in(session, len(conversation.turns) - 1)
        return NO_WORDS if answered is None else self._offered(session, answered) | told

    async def map_word(self, session: Session, request: Any) -> dict[str, Any] | None:
        """The words of an answer with the maps of one of them. None if something newer was asked meanwhile.

        `request` is what the page sent: {"turn": which, "key": of the prompt that the lens shows, "choice": which layer
        and head}, and {"answer": its id, "word": index} or, for a click in the chat, {"text": the word, "nth": which of
        the equal ones}, or {"words": True} for the words alone. Without "turn" it is the last answer. With {"neutral":
        True} the map comes with what a neutral question looks at; where that is cheap, it always does.
        """
        request = request if isinstance(request, Mapping) else {}
        with session.lock:
            writing, last = session.run is not None, len(session.conversation.turns) - 1
        if not self._engine.abilities.attention:
            return NO_WORDS
        if writing:
            return {**NO_WORDS, "note": WRITING}
        turn = request.get("turn", last)
        answered = answered_in(session, turn) if isinstance(turn, int) else None
        if answered is None:
            return {**self.words(session), "note": NO_WORD}
        offered = await self._threads.run_for(session, self._offered, session, answered)
        if "words" in request or (not offered["words"] and offered["note"]):
            return offered  # nothing was picked yet
        try:
            word, selection = _chosen_word(request, offered), parse_selection(str(request["choice"]))
        except (KeyError, OverflowError, TypeError, ValueError):
            return {**offered, "note": NO_WORD}
        if word is None:
            return offered  # another answer stands there by now
        with session.lock:
            cancel = session.begin_side_task()
        try:
            prepared = await self._prepared(session, answered, cancel)
            trace = await self._attention(prepared, answered.text, word, cancel)
            if trace is None:
                return None
            if selection[0] is not None and not (selection[0] < trace.layers and (selection[1] or 0) < trace.heads):
                raise UserError(f"This model has {trace.layers} layers of {trace.heads} heads; choose one of them.")
            cheap = self._engine.abilities.laboratory and trace.seconds < CHEAP
            subtracts = cheap or request.get("neutral") is True
            maps = attention_payload(trace, selection, BUDGET // 2 if subtracts else BUDGET)
            map_ = {"of": word, "key": offered["key"], **maps}
            if trace.prompt.media and subtracts:
                neutral = await self._neutral(session, answered, cancel)
                if neutral is None:
                    return None
                map_["neutral"] = neutral_payload(trace, neutral, map_["maps"])
            shown = request.get("key") == offered["key"]
            return {
                **offered,
                "map": map_,
                "prompt": None if shown else as_it_was(prepared, answered, self._engine, self._images),
            }
        except Cancelled:
            return None
        except UserError as problem:
            return {**offered, "note": str(problem)}
        except Exception as problem:
            report(problem, "computing attention")
            return {**offered, "note": FAILED.format(self._engine.name)}
        finally:
            session.end_side_task(cancel)

    def _offered(self, session: Session, answered: Answered) -> dict[str, Any]:
        """The words of an answer."""
        with session.lock:
            turns = session.conversation.turns
        try:
            check_author(answered, self._engine)
            trace = answered_trace(session, answered, self._prompts)
            words = self._engine.answer_words(trace, answered.text)[:MAX_WORDS]
            tokens = self._engine.answer_tokens(trace, answered.text)[:MAX_TOKENS]
        except UserError as problem:
            return {**NO_WORDS, "note": str(problem)}
        except Exception as problem:
            report(problem, "splitting an answer into words")
            return NO_WORDS
        return {
            **NO_WORDS,
            "answer": answer_id(trace, answered.text),
            "turn": answered.turn,
            "answers": [index for index, turn in enumerate(turns) if turn.has_words],
            "key": payload_key(trace),
            "tokens": list(tokens),
            "words": [word.text for word in words],
            "spaces": spaces_before(words, answered.text),
            "caveat": f"{WHOSE} {CAVEAT}",
        }

    async def _neutral(self, session: Session, answered: Answered, cancel: threading.Event) -> AttentionTrace | None:
        """The attention behind the first word of any answer to a question that asks for nothing in particular, in the
        place of the one that was asked."""
        last = answered.question.turns[-1]
        question = replace(answered.question, turns=(*answered.question.turns[:-1], replace(last, question=NEUTRAL)))
        prepared = await self._prepared(session, replace(answered, question=question), cancel)
        return await self._attention(prepared, ANY_ANSWER, 0, cancel)

    async def _prepared(self, session: Session, answered: Answered, cancel: threading.Event) -> PreparedPrompt:
        return await self._threads.run_for(session, self._prompts.prepare, answered.question, answered.options, cancel)

    async def _attention(
        self, prepared: PreparedPrompt, text: str, word: int, cancel: threading.Event
    ) -> AttentionTrace | None:
        ticket = self._engine.queue.join()
        compute = partial(self._engine.word_attention, prepared.prompt, text, word, cancel, ticket=ticket)
        return await in_turn(ticket, cancel, compute, self._threads)


def _chosen_word(request: Mapping[str, Any], offered: Mapping[str, Any]) -> int | None:
    """The index of the word that a request names; None if it is of another answer. Raises ValueError and the like."""
    words: Sequence[str] = offered["words"]
    if "text" not in request:
        word = int(request["word"])
        return word if offered["answer"] and request["answer"] == offered["answer"] else None
    text, nth = str(request["text"])[:MAX_CLICKED], int(request["nth"])
    equal = [index for index, word in enumerate(words) if word == text]
    equal = equal or [index for index, word in enumerate(words) if text in word]
    if not equal or nth < 0:
        raise ValueError("there is no such word")
    return equal[min(nth, len(equal) - 1)]


def _shows_the_last_question(shown: ShownPrompt | None, conversation: Conversation) -> bool:
    """Whether the panel shows the prompt of the last question, and not an older chat or what is about to be sent."""
    if shown is None or shown.draft or conversation.last is None:
        return False
    return shown.conversation.answered(None) == conversation.answered(None)
