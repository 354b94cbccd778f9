"""Experiments: the last question of a chat, asked again with one thing changed and everything else the same.

Each trial is a real answer of the engine, written greedily; nothing of it enters the chat. What is compared by choice
is asked side by side: all columns join the engine's queue at once, and how many it writes at a time is the engine's.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from qwen2vl_demo.engine.protocol import Chunk, Engine, GenerationOptions
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.geometry import FACTOR, PositionScheme
from qwen2vl_demo.trace import MediaTrace, PromptTrace
from qwen2vl_demo.ui.chat.conversation import Conversation, count
from qwen2vl_demo.ui.chat.page_update import FAILED, report
from qwen2vl_demo.ui.chat.prompts import Prompts
from qwen2vl_demo.ui.chat.streaming import AnswerStream
from qwen2vl_demo.ui.sessions import Session
from qwen2vl_demo.ui.settings_form import SettingsForm
from qwen2vl_demo.ui.worker_threads import WorkerThreads

Experiment = Literal["budget", "positions", "compare"]

MAX_NEW_TOKENS = 96  # of each answer
SMALL_PICTURE = 128  # merged tokens; up to here budgets are halved, above quartered
LOOK_UP = 0.25  # seconds without news from the engine until the next look at it
GATHER = 0.15  # seconds in which words travel together

BUDGETS = (16, 64, 256, 1024)  # merged tokens that a column may have
MOST_COLUMNS = 3
AS_ASKED, NOTHING = "as asked", "nothing"  # what a column may be beside a budget and a PositionScheme
ASK_FIRST = "Ask something about a picture or a clip first; then the same question can be asked again here."
NO_MEDIA = "There is no picture in this chat, so there is nothing to change. Attach one and ask about it."
WRITING = "An answer is being written; try again when it is finished."
STOPPED = "Stopped, since something else was asked."
TWO_COLUMNS = "Choose two columns that are not the same; then they can be compared."
NOTHING_SMALLER = (
    "This picture takes no more tokens than the model asks for at least, so there is no smaller budget to try. Use a "
    "larger picture, or raise the maximum of tokens per picture in the settings."
)
SCHEMES: dict[PositionScheme, tuple[str, str]] = {
    "mrope": ("M-RoPE, as trained", "each merged token at its time, row and column"),
    "silenced": ("the same position for the whole picture", "h and w are set to t, so rows and columns are gone"),
    "1d": ("plain 1-D positions", "one running number for every token"),
}


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


@dataclass(frozen=True)
class Variation:
    """One way to ask the question."""

    name: str
    change: str  # what is different, in words
    options: GenerationOptions


@dataclass(frozen=True, eq=False)
class Trial:
    """A variation and what came of it."""

    variation: Variation
    medium: MediaTrace  # the last one, as it was cut this time
    picture: np.ndarray  # (H, W, 3) uint8, its resized pixels; for a clip, its first frame
    status: str = ""  # what the engine does before the first word
    answer: str = ""  # so far
    seconds: float | None = None  # to the first token; None while it is written, and where nobody measured it
    reused_tokens: int = 0  # of the prompt: in the cache already, so that the first token came sooner
    ended: bool = False


@dataclass(frozen=True, eq=False)
class ExperimentState:
    """An experiment so far."""

    question: str = ""
    trials: Sequence[Trial] = ()
    note: str = ""  # why there are no more trials
    finished: bool = False  # all trials were made


class Experiments:
    """Runs experiments with the last question of a chat."""

    def __init__(self, engine: Engine, prompts: Prompts, settings: SettingsForm, threads: WorkerThreads) -> None:
        self._engine, self._prompts, self._settings, self._threads = engine, prompts, settings, threads

    @property
    def offered(self) -> dict[Experiment, Introduction]:
        """The experiments that this engine can make."""
        return {
            key: introduction
            for key, introduction in INTRODUCTIONS.items()
            if key != "positions" or self._engine.abilities.positions
        }

    @property
    def columns(self) -> dict[str, str]:
        """What a column may be, by key, in words."""
        named = {AS_ASKED: AS_ASKED}
        named |= {str(budget): f"at most {count(budget, 'token')}" for budget in BUDGETS}
        if self._engine.abilities.positions:
            named |= {key: name for key, (name, _) in SCHEMES.items() if key != "mrope"}
        return named

    async def run(
        self,
        session: Session,
        values: Mapping[str, Any],
        experiment: Experiment,
        conversation: Conversation | None = None,
        chosen: Sequence[str] = (),
    ) -> AsyncGenerator[ExperimentState, None]:
        """The state again and again while the answers come. Nothing is raised for what a visitor did.

        `conversation` ends with the question; by default it is the chat. `chosen` are the columns of a comparison, keys
        of `columns`; others are left out.
        """
        with session.lock:
            writing, conversation = session.run is not None, conversation or session.conversation
            cancel = None if writing else session.begin_side_task()
        if cancel is None:
            yield ExperimentState(note=WRITING)
            return
        state = ExperimentState(conversation.last.question if conversation.last else "")
        chosen = [key for key in dict.fromkeys(chosen) if key in self.columns][:MOST_COLUMNS]
        trials = self._trials(session, conversation, values, experiment, chosen, cancel)
        note = ""
        try:
            async for made in trials:
                state = replace(state, trials=made)
                yield state
            note = STOPPED if cancel.is_set() else ""
        except Cancelled:
            note = STOPPED
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
        cancel: threading.Event,
    ) -> AsyncGenerator[tuple[Trial, ...], None]:
        """All trials so far, again and again; ends early when `cancel` is set. Raises what the engine raises."""
        if conversation.last is None:
            raise UserError(ASK_FIRST)
        options = self._settings.read(values).options
        baseline = (await self._threads.run_for(session, self._prompts.prepare, conversation, options, cancel)).trace
        if not baseline.media:
            raise UserError(NO_MEDIA)
        trials: list[Trial] = []
        together: list[tuple[int, AnswerStream]] = []
        try:
            for variation in variations(experiment, self._engine.pixel_limits, baseline, options, chosen):
                prepared = await self._threads.run_for(
                    session, self._prompts.prepare, conversation, variation.options, cancel
                )
                medium = prepared.trace.attached[-1]
                frames = prepared.prompt.media[prepared.trace.index_of(medium)].frames
                trials.append(Trial(variation, medium, frames[0]))
                yield tuple(trials)
                together.append((len(trials) - 1, AnswerStream(self._engine, prepared, variation.options, cancel)))
                if experiment != "compare":
                    async for made in _streamed(together, trials):
                        yield made
                    if cancel.is_set():
                        return
            async for made in _streamed(together, trials):
                yield made
        finally:
            for _, stream in together:
                if not stream.ended:
                    stream.close()


async def _streamed(
    streams: Sequence[tuple[int, AnswerStream]], trials: list[Trial]
) -> AsyncGenerator[tuple[Trial, ...], None]:
    """Reads all streams to their ends, each into the trial of its number; all trials whenever there is news."""
    while running := [(number, stream) for number, stream in streams if not stream.ended]:
        taken = await asyncio.gather(*(stream.take(LOOK_UP, GATHER) for _, stream in running))
        for (number, _), chunks in zip(running, taken, strict=True):
            for chunk in chunks:
                trials[number] = _with(trials[number], chunk)
        if any(taken):
            yield tuple(trials)


def _with(trial: Trial, chunk: Chunk) -> Trial:
    """The trial after a chunk of its answer."""
    if chunk.result is not None:
        seconds, reused = chunk.result.timings.get("first_token"), chunk.result.reused_tokens
        return replace(trial, answer=chunk.result.text, ended=True, seconds=seconds, reused_tokens=reused)
    return replace(trial, status=chunk.status or trial.status, answer=trial.answer + chunk.text)


def variations(
    experiment: Experiment,
    pixel_limits: tuple[int, int],
    trace: PromptTrace,
    options: GenerationOptions,
    chosen: Sequence[str] = (),
) -> list[Variation]:
    """What to try for a prompt that was asked. Raises UserError where there is nothing to try."""
    greedy = replace(options, temperature=0.0, max_new_tokens=min(options.max_new_tokens, MAX_NEW_TOKENS))
    if experiment == "positions":
        return [Variation(name, change, replace(greedy, positions=key)) for key, (name, change) in SCHEMES.items()]
    if experiment == "compare":
        if len(chosen) < 2:
            raise UserError(TWO_COLUMNS)
        return [_column(key, trace, greedy) for key in chosen]
    _, rows, columns = trace.attached[-1].merged_grid
    now, least = rows * columns, -(-(options.media.min_pixels or pixel_limits[0]) // FACTOR**2)
    step = 2 if now <= SMALL_PICTURE else 4
    smaller = [max(least, now // step), max(least, now // step**2)]
    budgets = [budget for budget in dict.fromkeys(smaller) if budget < now]
    if not budgets:
        raise UserError(NOTHING_SMALLER)
    return [_column(AS_ASKED, trace, greedy)] + [_column(str(budget), trace, greedy) for budget in budgets]


def _column(key: str, trace: PromptTrace, greedy: GenerationOptions) -> Variation:
    """What a key of `Experiments.columns`, or any other number of tokens, changes."""
    if key == AS_ASKED:
        return Variation(AS_ASKED, "the budget of the settings", greedy)
    scheme: PositionScheme | None = next((known for known in SCHEMES if known == key), None)
    if scheme is not None:
        return Variation(*SCHEMES[scheme], replace(greedy, positions=scheme))
    budget, clip = int(key), trace.attached[-1].kind == "video"
    shrunk = "each frame" if clip else "every picture" if len(trace.attached) > 1 else "the picture"
    most = budget * FACTOR**2
    least = None if greedy.media.min_pixels is None else min(greedy.media.min_pixels, most)
    return Variation(
        f"at most {count(budget, 'token')}{' per frame' if clip else ''}",
        f"{shrunk} is shrunk until it fits",
        replace(greedy, media=replace(greedy.media, min_pixels=least, max_pixels=most)),
    )
