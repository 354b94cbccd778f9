"""Accuracy on drawn scenes: how often the model answers rightly, by its budget of tokens or by the positions it gets.

Many small scenes with one question each, whose answers are known. Each is asked once for every setting that is
compared, written greedily, and counts as right if it is right to the letter, as in nano's own evaluation. Nothing of it
enters the chat.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import PIL.Image

from qwen2vl_demo.engine.protocol import Engine, GenerationOptions
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.geometry import FACTOR, PositionScheme
from qwen2vl_demo.nano.drawn_questions import FAMILIES, TRAINED_TOKENS, DrawnQuestion, drawn_question
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text
from qwen2vl_demo.ui.chat.answers import LOADING
from qwen2vl_demo.ui.chat.page_update import FAILED, report
from qwen2vl_demo.ui.chat.streaming import in_turn
from qwen2vl_demo.ui.panel.columns import SCHEMES
from qwen2vl_demo.ui.panel.experiments import WRITING
from qwen2vl_demo.ui.sessions import Session
from qwen2vl_demo.ui.worker_threads import WorkerThreads

Study = Literal["tokens", "addresses"]

MEASURED = "nano"  # the model whose wordings the questions and answers have
BUDGETS = (16, 64, 256, 1024)  # merged tokens of a picture
SCENES: dict[Study, int] = {"tokens": 20, "addresses": 10}  # of a family by default: well below a minute on two cores
MOST_SCENES = 100
MAX_NEW_TOKENS = 40  # of each answer; the longest right one has about twenty
Z = 1.959964  # of the normal distribution: 95 % lie within so many standard deviations
NO_FAMILY = (
    "The last question of the chat is like none that can be measured on drawn scenes. Choose from the list what is "
    "asked: where something is, its colour or shape, how many there are, or whether it is there."
)
ONLY_NANO = "The scenes are worded as nano was taught, so only nano is measured. Start the page with nano for this."
CHOOSE_NANO = "The scenes are worded as nano was taught, so only nano is measured. Choose it at the top of the page."


@dataclass(frozen=True)
class Score:
    """How many questions of a family were answered rightly under one setting."""

    family: str
    setting: str  # "16", "64", ... tokens, or a PositionScheme
    right: int = 0
    asked: int = 0
    chance: float = 0.0  # the sum of the chances of a guess, one for each question

    @property
    def share(self) -> float:
        return self.right / self.asked if self.asked else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.asked)

    def counting(self, right: bool, chance: float) -> Score:
        return replace(self, right=self.right + right, asked=self.asked + 1, chance=self.chance + chance)


@dataclass(frozen=True, eq=False)
class Asked:
    """The last question that was answered."""

    picture: np.ndarray  # (H, W, 3) uint8, as the model got it
    setting: str
    question: str
    truth: str
    answer: str


@dataclass(frozen=True, eq=False)
class AccuracyState:
    """A study so far."""

    study: Study
    scores: tuple[Score, ...] = ()
    total: int = 0  # answers when it is finished
    last: Asked | None = None
    note: str = ""  # why it ended early
    finished: bool = False

    @property
    def done(self) -> int:
        return sum(score.asked for score in self.scores)


def wilson(right: int, asked: int) -> tuple[float, float]:
    """The Wilson score interval of a proportion at 95 % (E. B. Wilson, 1927); (0, 1) where nothing was asked."""
    if not asked:
        return 0.0, 1.0
    share, scale = right / asked, 1 + Z**2 / asked
    middle = (share + Z**2 / (2 * asked)) / scale
    half = Z * (share * (1 - share) / asked + Z**2 / (4 * asked**2)) ** 0.5 / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def options_of(study: Study, setting: str) -> GenerationOptions:
    """The options under which a setting is asked. Pictures come in their final size, so that no budget acts on them."""
    media = MediaOptions(min_pixels=FACTOR**2, max_pixels=max(BUDGETS) * FACTOR**2)
    scheme: PositionScheme = next((key for key in SCHEMES if study == "addresses" and key == setting), "mrope")
    return GenerationOptions(max_new_tokens=MAX_NEW_TOKENS, positions=scheme, media=media)


def plan(study: Study, family: str) -> tuple[Score, ...]:
    """One empty score for each point of the curve, or each cell of the table. Raises UserError for no such family."""
    if study == "addresses":
        return tuple(Score(each, scheme) for each in FAMILIES for scheme in SCHEMES)
    if family not in FAMILIES:
        raise UserError(NO_FAMILY)
    return tuple(Score(family, str(budget)) for budget in BUDGETS)


class Accuracy:
    """Runs the studies."""

    def __init__(self, engine: Engine, threads: WorkerThreads) -> None:
        self._engine, self._threads = engine, threads

    @property
    def offered(self) -> bool:
        return self._engine.name == MEASURED

    async def run(
        self, session: Session, study: Study, family: str, scenes: int, *, listed: bool = False
    ) -> AsyncGenerator[AccuracyState, None]:
        """The state after every answer. Nothing is raised for what a visitor did. `family` is for the study of tokens;
        the other one asks all families. `listed`: nano is among the models that visitors may choose."""
        state = AccuracyState(study)
        with session.lock:
            wait = WRITING if session.run is not None else LOADING if session.loading else ""
            cancel = None if wait else session.begin_side_task()
        if cancel is None:
            yield replace(state, note=wait)
            return
        try:
            if not self.offered:
                raise UserError(CHOOSE_NANO if listed else ONLY_NANO)
            count = max(1, min(MOST_SCENES, scenes))
            scores = plan(study, family)
            state = replace(state, scores=scores, total=count * len(scores))
            yield state
            for number in range(count):
                drawn: dict[str, DrawnQuestion] = {}
                for place, score in enumerate(scores):
                    if score.family not in drawn:
                        drawn = {score.family: await self._threads.run(drawn_question, score.family, number)}
                    asked = await self._ask(study, score.setting, drawn[score.family], cancel)
                    if asked is None:
                        raise Cancelled
                    chance = 1 / drawn[score.family].question.plausible_answers
                    counted = state.scores[place].counting(asked.answer == asked.truth, chance)
                    made = (*state.scores[:place], counted, *state.scores[place + 1 :])
                    state = replace(state, scores=made, last=asked)
                    yield state
            state = replace(state, finished=True)
        except Cancelled:
            state = replace(state, note=f"Stopped after {state.done:,} of {state.total:,} answers.")
        except UserError as problem:
            state = replace(state, note=str(problem))
        except Exception as problem:
            report(problem, "measuring the accuracy")
            state = replace(state, note=FAILED.format(self._engine.name))
        finally:
            cancel.set()  # also when nobody waits for it any more
            session.end_side_task(cancel)
        yield state

    async def _ask(self, study: Study, setting: str, drawn: DrawnQuestion, cancel: threading.Event) -> Asked | None:
        """One answer; None once `cancel` is set. Raises what the engine raises."""
        tokens = int(setting) if study == "tokens" else TRAINED_TOKENS
        pixels, options = drawn.at(tokens), options_of(study, setting)
        messages = messages_of(pixels, drawn)
        ticket = self._engine.queue.join()

        def answer() -> str | None:
            results = [chunk.result for chunk in self._engine.stream(messages, options, cancel, ticket=ticket)]
            return next((result.text for result in results if result is not None), None)

        text = await in_turn(ticket, cancel, answer, self._threads)
        if text is None or cancel.is_set():
            return None
        return Asked(pixels, setting, drawn.question.text, drawn.question.answer, text.strip())


def messages_of(pixels: np.ndarray, drawn: DrawnQuestion) -> Sequence[Message]:
    return [Message("user", [Image(PIL.Image.fromarray(pixels)), Text(drawn.question.text)])]
