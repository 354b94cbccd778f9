"""The prompt that the panel shows: that of the files in the composer, or else that of the last question.

The panel asks for it whenever something may have changed. The answer depends on the session, the composer and the
settings alone, so asking once too often does no harm. Nothing is raised for what a visitor did.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qwen2vl_demo.engine.cost.estimate import Estimate
from qwen2vl_demo.engine.protocol import Engine, GenerationOptions
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.attachments import store_files
from qwen2vl_demo.ui.chat.conversation import (
    Conversation,
    Medium,
    Turn,
    count,
    default_question,
    duration,
    listed,
    numbers_of,
)
from qwen2vl_demo.ui.chat.page_update import report
from qwen2vl_demo.ui.chat.prompts import Prompts
from qwen2vl_demo.ui.chat.saved_chat import clean
from qwen2vl_demo.ui.eyes import Eyes, as_released, through
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.sessions import Draft, Session, ShownPrompt
from qwen2vl_demo.ui.settings_form import SettingsForm

STOPPED = "Opening was stopped. Send the question again, or take the files away."


@dataclass(frozen=True)
class PreviewUpdate:
    """What to draw now. None: it stays as it is."""

    panel: PanelState | None = None
    cost: str | None = None  # what the attached files will take, in one sentence; "" without files


class Preview:
    """Shows prompts before and after they are sent."""

    def __init__(self, engine: Engine, store: MediaStore, prompts: Prompts, settings: SettingsForm) -> None:
        self._engine, self._store, self._prompts, self._settings = engine, store, prompts, settings

    def refresh(
        self,
        session: Session,
        draft: Draft,
        values: Mapping[str, Any],
        begun: tuple[int, threading.Event] | None = None,
        eyes: Eyes = "model",
    ) -> PreviewUpdate:
        """The prompt with the draft's files, if there are any; else that of the last question of the chat.

        `eyes` says as whose it is drawn; what it costs is always this model's. `begun` is what `session.begin_preview`
        returned for the draft's files, where that was called before.
        """
        number, cancel = begun or session.begin_preview(draft.files)
        with session.lock:
            conversation, run, editing = session.conversation, session.run, session.editing
            if session.preview_number != number:
                return PreviewUpdate()  # a later one is on its way
            if run is not None and not run.committed and not draft.files:
                return PreviewUpdate(cost="")  # the question will be shown once it is part of the conversation
        panel, shown, cost = PanelState(conversation, eyes=eyes), None, ""
        try:
            settings = self._settings.read(values)
            media: tuple[Medium, ...] = ()
            left_out = ""
            if draft.files:
                media, left_out = store_files(self._store, session, draft.files, settings.pages, cancel)
                turn = Turn(clean(draft.text) or default_question(media), media)
                index = conversation.index(editing.number) if editing else None
                before = conversation if index is None else conversation.before(index)
                conversation = replace(before.adding(turn), system=settings.system)
            if conversation.turns:
                panel, shown = self._prepared(
                    session, conversation, settings.options, cancel, eyes=eyes, draft=bool(media)
                )
                cost = " ".join(filter(None, [_cost(media, shown.trace, panel.estimate), left_out])) if media else ""
        except Cancelled:
            cost = STOPPED if draft.files else ""
        except UserError as problem:
            # Without files it will be said when something is asked.
            cost = str(problem) if draft.files else ""
        except Exception as problem:
            report(problem, "preparing a preview")
        with session.lock:
            if session.preview_number != number:
                return PreviewUpdate()  # a later one is on its way
            session.shown = shown
            panel = replace(panel, model=self._engine.name, limits=self._engine.pixel_limits)
            return PreviewUpdate(replace(panel, outcomes=tuple(session.outcomes)), cost)

    def frames(self, session: Session, digest: str) -> np.ndarray | None:
        """The frames (n, H, W, 3) uint8 of a medium of the prompt that the panel shows; None where it is gone."""
        with session.lock:
            shown = session.shown
        try:
            if shown is not None:
                prompt = self._prompts.prepare(shown.conversation, through(shown.options, shown.eyes)).prompt
                return next((medium.frames for medium in prompt.media if medium.digest == digest), None)
        except (Cancelled, UserError):
            pass  # it was said when the prompt was prepared
        except Exception as problem:
            report(problem, "reading the pixels of a prompt")
        return None

    def _prepared(
        self,
        session: Session,
        conversation: Conversation,
        options: GenerationOptions,
        cancel: threading.Event,
        *,
        eyes: Eyes,
        draft: bool,
    ) -> tuple[PanelState, ShownPrompt]:
        """Raises UserError where the conversation cannot become a prompt."""
        prompt = self._prompts.prepare(conversation, options, cancel).prompt
        estimate = self._engine.estimate(prompt.trace, options)
        with session.lock:
            predicted = session.prediction
        if predicted is not None and not draft and predicted.conversation == conversation.answered(None):
            # What was predicted before the question was sent stays what it was.
            same_prompt = predicted.estimate.prompt_tokens == estimate.prompt_tokens
            estimate = predicted.estimate if same_prompt else estimate
        trace, seen = prompt.trace, None
        if eyes == "released":
            prompt = self._prompts.prepare(conversation, through(options, eyes), cancel).prompt
            prompt = replace(prompt, trace=as_released(prompt.trace))
            seen = prompt.trace
        panel = PanelState(conversation, prompt, eyes, trace, draft, estimate)
        return panel, ShownPrompt(conversation, options, trace, draft, eyes, self._engine.config, seen)


def _cost(media: Sequence[Medium], trace: PromptTrace, estimate: Estimate | None) -> str:
    tokens = sum(m.merged_tokens for m in numbers_of(trace, len(media)))
    wait = (
        f" About {duration(estimate.times.first_token.about)} to the first word." if estimate and estimate.times else ""
    )
    room = "" if trace.context_length is None else f" of {trace.context_length:,}"
    notices = "".join(f" {m.name}: {notice}" for m in trace.attached[-len(media) :] for notice in m.notices)
    return (
        f"{listed(media).capitalize()}: {count(tokens, 'token')}. "
        f"The prompt will have {len(trace):,}{room}.{wait}{notices}"
    )
