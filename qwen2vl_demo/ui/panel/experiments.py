"""Experiments: the last question of a chat, asked again with one thing changed and everything else the same.

Each trial is a real answer of the engine, written greedily; nothing of it enters the chat. What can be changed is in
`columns.py`; what is compared by choice is asked side by side (`side_by_side.py`), the rest one after the other.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.ui.chat.answers import LOADING
from qwen2vl_demo.ui.chat.conversation import Conversation
from qwen2vl_demo.ui.chat.page_update import FAILED, report
from qwen2vl_demo.ui.chat.prompts import Prompts
from qwen2vl_demo.ui.chat.streaming import AnswerStream
from qwen2vl_demo.ui.loans import Lender
from qwen2vl_demo.ui.panel.columns import Experiment, columns_chosen, variations
from qwen2vl_demo.ui.panel.side_by_side import NO_POSITIONS, SideBySide
from qwen2vl_demo.ui.panel.trials import Trial, streamed
from qwen2vl_demo.ui.sessions import Session
from qwen2vl_demo.ui.settings_form import SettingsForm
from qwen2vl_demo.ui.worker_threads import WorkerThreads

ASK_FIRST = "Ask something about a picture or a clip first; then the same question can be asked again here."
NO_MEDIA = "There is no picture in this chat, so there is nothing to change. Attach one and ask about it."
NO_MODEL = "No model is loaded here, so no question can be asked again. "
START_ONE = "Start the page with --model nano for one."
CHOOSE_ONE = "Choose one at the top of the page."
WRITING = "An answer is being written; try again when it is finished."
STOPPED = "Stopped."
DISPLACED = "Stopped, since something else was asked."


@dataclass(frozen=True)
class Introduction:
    """What is written above an experiment."""

    title: str
    reason: str  # what is tried, and why
    button: str


INTRODUCTIONS: dict[Experiment, Introduction] = {
    "budget": Introduction(
        "What does resolution buy?",
        "Your last question is asked again with fewer tokens for its pictures. A model of one fixed resolution has "
        "only one of these answers; Qwen2-VL takes as many tokens as the picture has pixels for, within a budget. What "
        "is large stays readable with few, small print does not.",
        "Ask with fewer tokens",
    ),
    "positions": Introduction(
        "What do rows and columns tell it?",
        "The very same tokens, at other positions. M-RoPE is how the language model is told where in the picture a "
        "merged token lies: without rows and columns it still has all of them, like a jigsaw in its box, and whatever "
        "the vision transformer wrote into each. Questions about what is there may survive that; questions about "
        "where rarely do. The model was not trained for the other two, which is part of what you see.",
        "Ask without rows and columns",
    ),
    "compare": Introduction(
        "Side by side",
        "Your last question, asked in two or three ways of your choice. They are written together where the model "
        "answers several at a time, else one after the other. Words that differ from the first column are marked.",
        "Compare",
    ),
}


@dataclass(frozen=True, eq=False)
class ExperimentState:
    """An experiment so far."""

    question: str = ""
    trials: Sequence[Trial] = ()
    note: str = ""  # why there are no more trials
    finished: bool = False  # all trials were made


def _why_stopped(session: Session, cancel: threading.Event) -> str:
    with session.lock:
        by_hand = session.side_task is cancel and session.run is None
    return STOPPED if by_hand else DISPLACED


@dataclass(frozen=True, eq=False)
class _Own:
    """The model of the chat, as `loans.Answering`."""

    engine: Engine
    prompts: Prompts
    form: SettingsForm


class Experiments:
    """Runs experiments with the last question of a chat."""

    def __init__(self, engine: Engine, prompts: Prompts, settings: SettingsForm, threads: WorkerThreads) -> None:
        self._engine, self._prompts, self._settings, self._threads = engine, prompts, settings, threads

    @property
    def offered(self) -> dict[Experiment, Introduction]:
        """The experiments that this model can make."""
        return {
            key: introduction for key, introduction in INTRODUCTIONS.items() if key != "positions" or self.positions
        }

    @property
    def positions(self) -> bool:
        """Whether the model can be given other positions."""
        return self._engine.abilities.positions

    async def run(
        self,
        session: Session,
        values: Mapping[str, Any],
        experiment: Experiment,
        conversation: Conversation | None = None,
        chosen: Sequence[str] = (),
        lender: Lender | None = None,
    ) -> AsyncGenerator[ExperimentState, None]:
        """The state again and again while the answers come. Nothing is raised for what a visitor did.

        `conversation` ends with the question; by default it is the chat. `chosen` are the columns of a comparison (see
        `columns.py`), some of them perhaps other models of `lender`.
        """
        with session.lock:
            writing, conversation = session.run is not None, conversation or session.conversation
            wait = WRITING if writing else LOADING if session.loading else ""
            cancel = None if wait else session.begin_side_task()
        if cancel is None:
            yield ExperimentState(note=wait)
            return
        state = ExperimentState(conversation.last.question if conversation.last else "")
        trials = self._trials(session, conversation, values, experiment, chosen, lender, cancel)
        note = ""
        try:
            async for made in trials:
                state = replace(state, trials=made)
                yield state
            note = _why_stopped(session, cancel) if cancel.is_set() else ""
        except Cancelled:
            note = _why_stopped(session, cancel)
        except UserError as problem:
            note = str(problem)
        except Exception as problem:
            report(problem, "running an experiment")
            note = FAILED.format(self._engine.name)
        finally:
            cancel.set()  # also when nobody waits for it any more
            await trials.aclose()
            session.end_side_task(cancel)
        yield replace(state, note=note, finished=not note)

    async def _trials(
        self,
        session: Session,
        conversation: Conversation,
        values: Mapping[str, Any],
        experiment: Experiment,
        chosen: Sequence[str],
        lender: Lender | None,
        cancel: threading.Event,
    ) -> AsyncGenerator[tuple[Trial, ...], None]:
        """All trials so far, again and again; ends early when `cancel` is set. Raises what the engine raises."""
        if not self._engine.abilities.answers:
            raise UserError(NO_MODEL + (START_ONE if lender is None else CHOOSE_ONE))
        if experiment == "positions" and not self.positions:
            raise UserError(NO_POSITIONS.format(self._engine.name))
        if conversation.last is None:
            raise UserError(ASK_FIRST)
        options = self._settings.read(values).options
        baseline = (await self._threads.run_for(session, self._prompts.prepare, conversation, options, cancel)).trace
        if not baseline.media:
            raise UserError(NO_MEDIA)
        models = await self._threads.run(lender.names) if lender is not None else {}
        columns = columns_chosen(chosen, session.model, models=lender is not None)
        mine = models.get(session.model, "")
        found = variations(experiment, self._engine.pixel_limits, baseline, options, columns, models, mine)
        if experiment == "compare":
            own = _Own(self._engine, self._prompts, self._settings)
            asking = SideBySide(session, conversation, values, own, lender, self._threads, cancel)
            async with aclosing(asking.run(found)) as columns_so_far:
                async for made in columns_so_far:
                    yield made
            return
        trials: list[Trial] = []
        for variation in found:
            prepared = await self._threads.run_for(
                session, self._prompts.prepare, conversation, variation.options, cancel
            )
            trials.append(Trial(variation).of(prepared))
            yield tuple(trials)
            stream = AnswerStream(self._engine, prepared, variation.options, cancel)
            try:
                async for made in streamed([(len(trials) - 1, stream)], trials):
                    yield made
            finally:
                if not stream.ended:
                    stream.close()
            if cancel.is_set():
                return
