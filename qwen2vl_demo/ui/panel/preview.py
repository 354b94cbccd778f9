"""What there is to see: the prompt of a chat, sent or about to be sent, and the pixels that were cut for it.

The panel asks here whenever something may have changed; the answer depends on the session, the composer and the
settings alone, so that asking once too often does no harm. Knows no gradio; never raises for what a visitor did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qwen2vl_demo.engine.cost.estimate import Estimate
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.answer_settings import Choices
from qwen2vl_demo.ui.chat.answers import Answering
from qwen2vl_demo.ui.chat.conversation import (
    Conversation,
    Medium,
    Turn,
    count,
    default_question,
    duration,
    listed,
    numbers_of,
    to_messages,
)
from qwen2vl_demo.ui.chat.page_update import report
from qwen2vl_demo.ui.chat.saved_chat import clean
from qwen2vl_demo.ui.panel.originals import Originals
from qwen2vl_demo.ui.panel.state import Sight
from qwen2vl_demo.ui.sessions import Draft, Session


@dataclass(frozen=True)
class Look:
    """What to show now; None leaves it as it is."""

    sight: Sight | None = None
    cost: str | None = None  # what the attached files will take, in one sentence; "" without files


class Looking(Answering):
    """The part of the page that looks and does not answer."""

    originals = Originals()

    def look(self, session: Session, draft: Draft, values: Sequence[Any]) -> Look:
        """The prompt with the draft's files, if there are any; else that of the last question of the chat."""
        with session.lock:
            session.looks += 1
            number, conversation, run = session.looks, session.conversation, session.run
            if run is not None and not run.committed and not draft.files:
                return Look(cost="")  # the question is on its way into the conversation, and will be looked at there
        cost, sight = "", Sight(conversation)
        try:
            choices = self.choices(values)
            if draft.files:
                media = self.keep(session, draft.files)
                turn = Turn(clean(draft.text) or default_question(media), media)
                conversation = replace(conversation.adding(turn), system=choices.system)
                sight = self._sight(conversation, choices, draft=True)
                cost = _cost(media, sight.trace, sight.estimate) if sight.trace else ""
            else:
                sight = self._sight(conversation, choices)
            sight = _with_outcomes(sight, session)
        except UserError as problem:
            cost = str(problem) if draft.files else ""  # else it will be said when something is asked
        except Exception as problem:
            report(problem, "looking at a prompt")
        with session.lock:
            if session.looks != number:
                return Look()  # a later look is on its way
            session.seen, session.shown = sight.trace, sight.conversation
            if not sight.draft:
                session.trace = sight.trace
        return Look(sight, cost)

    def pixels(self, session: Session, values: Sequence[Any], digest: str) -> np.ndarray | None:
        """The frames (n, H, W, 3) uint8 of a medium of the prompt that the panel shows; None where it is gone."""
        try:
            messages = _open_question(to_messages(session.shown, self.store.path))
            if messages:
                prompt = self.engine.prompt(messages, self.choices(values).options)
                return next((medium.frames for medium in prompt.media if medium.digest == digest), None)
        except UserError:
            pass  # it was said when the prompt was looked at
        except Exception as problem:
            report(problem, "looking closer")
        return None

    def _sight(self, conversation: Conversation, choices: Choices, *, draft: bool = False) -> Sight:
        """Raises UserError where the conversation cannot become a prompt."""
        messages = _open_question(to_messages(conversation, self.store.path))
        if not messages:
            return Sight(conversation)
        prompt = self.engine.prompt(messages, choices.options)
        pixels = tuple(medium.frames for medium in prompt.media)
        originals = tuple(self.originals.of(medium, messages[medium.message]) for medium in prompt.trace.media)
        estimate = self.engine.estimate(prompt.trace, choices.options)
        return Sight(conversation, prompt.trace, pixels, originals, draft, estimate)


def _open_question(messages: list[Message]) -> list[Message]:
    """The messages up to the last question; none if there is none."""
    if messages and messages[-1].role == "assistant":
        messages = messages[:-1]
    return messages if messages and messages[-1].role == "user" else []


def _with_outcomes(sight: Sight, session: Session) -> Sight:
    """What was said before a question was sent stays what was said; and what answers took so far."""
    with session.lock:
        predicted, outcomes = session.predicted, tuple(session.outcomes)
    estimate = sight.estimate
    if estimate is not None and predicted is not None and not sight.draft:
        asked, said = predicted
        if asked == sight.conversation.answered(None) and said.prompt_tokens == estimate.prompt_tokens:
            estimate = said
    return replace(sight, estimate=estimate, outcomes=outcomes)


def _cost(media: Sequence[Medium], trace: PromptTrace, estimate: Estimate | None) -> str:
    tokens = sum(m.merged_tokens for m in numbers_of(trace, len(media)))
    wait = (
        f" About {duration(estimate.times.first_token.about)} to the first word." if estimate and estimate.times else ""
    )
    return (
        f"{listed(media).capitalize()}: {count(tokens, 'token')}. "
        f"The prompt will have {len(trace):,} of {trace.context_length:,}.{wait}"
    )
