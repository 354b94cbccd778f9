"""The laboratory: a finished answer is read again with a part of its picture hidden, word by word with what else could
have stood there, and one token of the picture layer by layer.

It looks into the prompt that was answered, whatever the panel draws by now, and only into this session's. The page gets
plain JSON-ready values, and what it sends is checked. Nothing is kept, nothing enters the chat, and nothing is raised
for what a visitor did.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

import numpy as np

from qwen2vl_demo.attention_trace import Word
from qwen2vl_demo.engine.laboratory import Candidate, Choices, Way
from qwen2vl_demo.engine.protocol import Engine, GenerationOptions, Laboratory
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.trace import MediaTrace, PromptTrace
from qwen2vl_demo.ui.chat.page_update import FAILED, report
from qwen2vl_demo.ui.chat.prompts import PreparedPrompt, Prompts
from qwen2vl_demo.ui.chat.streaming import in_turn
from qwen2vl_demo.ui.panel.answered import Answered, answer_id, answered_in, as_it_was, check_author
from qwen2vl_demo.ui.sessions import Session
from qwen2vl_demo.ui.worker_threads import WorkerThreads

MAX_BLOCKS = 36  # of a picture that are hidden one after the other
MAX_WORDS = 400  # of an answer that are told of
UPDATE_SECONDS = 0.2  # between two updates while blocks are hidden
WAYS: tuple[Way, ...] = ("grey", "left_out")
WRITING = "An answer is being written; try again when it is finished."
STOPPED = "Stopped."
GONE = "This answer is no longer here; pick one of the chat."
ODD = "This is no part of the picture that was answered; choose one in the picture."
NOTHING_LEFT = "This would hide every token of the picture; leave some of it."

T = TypeVar("T")


@dataclass(frozen=True)
class Look:
    """An answer that is looked into."""

    answered: Answered
    prepared: PreparedPrompt
    cancel: threading.Event

    @property
    def trace(self) -> PromptTrace:
        return self.prepared.trace

    def medium(self, index: Any) -> MediaTrace:
        """A picture or clip of the prompt. Raises UserError."""
        if type(index) is not int or not 0 <= index < len(self.trace.media):
            raise UserError(ODD)
        return self.trace.media[index]


class AnswerLaboratory:
    """Asks the engine's laboratory about the answers of a chat."""

    def __init__(self, engine: Engine, prompts: Prompts, threads: WorkerThreads) -> None:
        self._engine, self._prompts, self._threads = engine, prompts, threads

    @property
    def unavailable(self) -> str:
        """Why there is none; "" where there is one."""
        try:
            self._engine.laboratory()
        except UserError as reason:
            return str(reason)
        return ""

    async def ask(self, session: Session, request: Any) -> AsyncGenerator[dict[str, Any], None]:
        """What the page shall show, perhaps again and again.

        `request` is {"what": ..., "turn": of the answer, "answer": its id} and:
            show                                      the prompt as it was answered, for the lens
            stop                                      ends what is computed
            hide: way, medium, rows, columns, t       the words without a region; rows and columns are [first, last],
                                                      t a step of a clip or null for all
            map: way, medium                          the words without each block in turn
            choices: word                             what the tokens of a word were chosen from
            continue: word, place, token              the answer that would have been
            layers: token                             of the prompt: what it resembles in each layer
        Each result is {"what", "answer", "note"} and what the function of this name says.
        """
        request = request if isinstance(request, Mapping) else {}
        what = request.get("what")
        if what == "stop":
            session.cancel_side_task()
            return
        told = {"what": what if isinstance(what, str) and what in self._functions else "", "note": ""}
        turn = request.get("turn")
        with session.lock:
            writing = session.run is not None
        answered = answered_in(session, turn) if type(turn) is int else None
        if problem := self.unavailable or (WRITING if writing else "" if answered and told["what"] else GONE):
            yield told | {"answer": "", "note": problem}
            return
        assert answered is not None
        with session.lock:
            cancel = session.begin_side_task()
        try:
            check_author(answered, self._engine)
            prepared = await self._threads.run_for(
                session, self._prompts.prepare, answered.question, answered.options, cancel
            )
            told["answer"] = answer_id(prepared.trace, answered.text)
            if told["answer"] != request.get("answer"):
                raise UserError(GONE)
            async for found in self._functions[told["what"]](self, Look(answered, prepared, cancel), request):
                yield told | found
        except Cancelled:
            yield told | {"note": STOPPED}
        except UserError as problem:
            yield told | {"note": str(problem)}
        except Exception as problem:
            report(problem, "looking into an answer")
            yield told | {"note": FAILED.format(self._engine.name)}
        finally:
            cancel.set()  # also when nobody waits for it any more
            session.end_side_task(cancel)

    @property
    def _laboratory(self) -> Laboratory:
        return self._engine.laboratory()

    async def _run(self, look: Look, method: Callable[..., T | None], *given: Any) -> T:
        """What a method of the laboratory gives, in its turn. Raises Cancelled."""
        ticket = self._engine.queue.join()
        compute = partial(method, look.prepared.prompt, *given, look.cancel, ticket=ticket)
        found = await in_turn(ticket, look.cancel, compute, self._threads)
        if found is None:
            raise Cancelled
        return found

    async def _show(self, look: Look, request: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """{"prompt": payload of the lens}"""
        yield {"prompt": as_it_was(look.prepared, look.answered, self._engine)}

    async def _hide(self, look: Look, request: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """{"hidden": {"way", "before": [log-probability of each word], "after", "looked": [share of the attention],
        "all": [before, after] of the whole answer, "tokens": hidden ones, "of": tokens of the medium}}"""
        way, medium = _way(request), look.medium(request.get("medium"))
        tokens = region_tokens(medium, request)
        text = look.answered.text
        whole = await self._run(look, self._laboratory.likelihood, text, tokens)
        without = await self._run(look, self._laboratory.likelihood_without, text, tokens, way)
        words = whole.words[:MAX_WORDS]
        yield {
            "hidden": {
                "way": way,
                "before": _of_words(words, whole.log_probabilities),
                "after": _of_words(words, without),
                "looked": [round(float(whole.shares[w.start : w.end].mean()), 5) for w in words],
                "all": [round(float(whole.log_probabilities.sum()), 4), round(float(without.sum()), 4)],
                "tokens": len(tokens),
                "of": medium.merged_tokens,
            }
        }

    async def _map(self, look: Look, request: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """{"map": {"way", "medium", "before": [of each word], "blocks": [[first row, last, first column, last]],
        "after": [for each block so far, of each word], "all": [before, [after of each block]], "ended"}}"""
        way, index = _way(request), request.get("medium")
        medium = look.medium(index)
        cut = blocks(medium.merged_grid[1:])
        if len(cut) < 2:
            raise UserError("This picture is a single token, so there is nothing to hide in turn.")
        text = look.answered.text
        whole = await self._run(look, self._laboratory.likelihood, text, ())
        words = whole.words[:MAX_WORDS]
        after: list[list[float]] = []
        sums: list[float] = []
        state = {
            "way": way,
            "medium": index,
            "before": _of_words(words, whole.log_probabilities),
            "blocks": [list(block) for block in cut],
        }

        def told(ended: bool) -> dict[str, Any]:
            sum_before = round(float(whole.log_probabilities.sum()), 4)
            return {"map": {**state, "after": list(after), "all": [sum_before, list(sums)], "ended": ended}}

        yield told(False)
        latest = time.monotonic()
        try:
            for first, last, left, right in cut:
                tokens = _tokens(medium, range(medium.merged_grid[0]), (first, last), (left, right))
                without = await self._run(look, self._laboratory.likelihood_without, text, tokens, way)
                after.append(_of_words(words, without))
                sums.append(round(float(without.sum()), 4))
                if time.monotonic() - latest > UPDATE_SECONDS:
                    latest = time.monotonic()
                    yield told(False)
        except Cancelled:
            yield {**told(True), "note": f"Stopped after {len(after)} of {len(cut)} blocks."}
            return
        yield told(True)

    async def _choices(self, look: Look, request: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """{"choices": {"word", "how": a sentence, "places": [{"place", "chosen", "candidates", "count"}]}}"""
        word = request.get("word")
        if type(word) is not int:
            raise UserError(GONE)
        found: Choices = await self._run(
            look, self._laboratory.choices, look.answered.text, word, look.answered.options
        )
        places = [
            {
                "place": choice.place,
                "chosen": _shown(choice.chosen),
                "candidates": [_shown(candidate) for candidate in choice.candidates],
                "count": choice.count,
            }
            for choice in found.choices
        ]
        yield {"choices": {"word": word, "how": drawn_how(look.answered, found.exact_tokens), "places": places}}

    async def _continue(self, look: Look, request: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """{"continued": {"word", "place", "token", "text": the whole answer}}"""
        word, place, token = (request.get(name) for name in ("word", "place", "token"))
        if not all(type(number) is int for number in (word, place, token)):
            raise UserError(GONE)
        options = look.answered.options
        text = await self._run(look, self._laboratory.continued, look.answered.text, place, token, options)
        yield {"continued": {"word": word, "place": place, "token": token, "text": text}}

    async def _layers(self, look: Look, request: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """{"layers": {"token", "rows": [before the first layer and after each: candidates]}}"""
        token = request.get("token")
        if type(token) is not int or not any(m.span[0] <= token < m.span[1] for m in look.trace.media):
            raise UserError("Choose a token of the picture that was answered.")
        found = await self._run(look, self._laboratory.layer_words, token)
        yield {"layers": {"token": token, "rows": [[_shown(candidate) for candidate in row] for row in found]}}

    _functions: ClassVar = {
        "show": _show,
        "hide": _hide,
        "map": _map,
        "choices": _choices,
        "continue": _continue,
        "layers": _layers,
    }


def region_tokens(medium: MediaTrace, request: Mapping[str, Any]) -> tuple[int, ...]:
    """The indices in the prompt of the tokens of a region. Raises UserError for what is no region."""
    t, rows, columns = medium.merged_grid
    step = request.get("t")
    if step is not None and not (type(step) is int and 0 <= step < t):
        raise UserError(ODD)
    bounds = []
    for name, most in (("rows", rows), ("columns", columns)):
        pair = request.get(name)
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(number) is int for number in pair):
            raise UserError(ODD)
        if not 0 <= pair[0] <= pair[1] < most:
            raise UserError(ODD)
        bounds.append((pair[0], pair[1]))
    tokens = _tokens(medium, range(t) if step is None else range(step, step + 1), *bounds)
    if len(tokens) == medium.merged_tokens:
        raise UserError(NOTHING_LEFT)
    return tokens


def _tokens(medium: MediaTrace, steps: range, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[int, ...]:
    """The tokens of these steps, rows and columns; both ends of rows and columns are inside."""
    _, height, width = medium.merged_grid
    return tuple(
        medium.span[0] + (t * height + row) * width + column
        for t in steps
        for row in range(rows[0], rows[1] + 1)
        for column in range(columns[0], columns[1] + 1)
    )


def blocks(grid: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """A grid (rows, columns) cut into at most MAX_BLOCKS blocks, as square as they can be: (first row, last row, first
    column, last column) of each, from the upper left."""
    rows, columns = grid
    side = math.ceil(math.sqrt(rows * columns / MAX_BLOCKS))
    while math.ceil(rows / side) * math.ceil(columns / side) > MAX_BLOCKS:
        side += 1
    return [
        (row, min(row + side, rows) - 1, column, min(column + side, columns) - 1)
        for row in range(0, rows, side)
        for column in range(0, columns, side)
    ]


def drawn_how(answered: Answered, exact: bool) -> str:
    """Which distribution the tokens were chosen from."""
    options: GenerationOptions = answered.options
    penalty = f"a repetition penalty of {options.repetition_penalty:g}" if options.repetition_penalty != 1 else ""
    if options.temperature == 0:
        how = "Greedy: it took the most probable token. These are the model's own probabilities"
        how += f", after {penalty}." if penalty else "."
    else:
        rules = [f"temperature {options.temperature:g}"]
        rules += [f"the {options.top_k} most probable tokens"] * bool(options.top_k)
        rules += [f"top p {options.top_p:g}"] * (options.top_p < 1)
        rules += [penalty] * bool(penalty)
        how = f"Drawn by lot ({', '.join(rules)}): these are the probabilities that it was drawn with."
    if not answered.remembered:
        how += " The chat was opened again, so these are the rules of the present settings."
    if not exact:
        how += " The answer's own tokens are not in memory any more; its words were cut into tokens anew."
    return how


def _way(request: Mapping[str, Any]) -> Way:
    way = request.get("way")
    found = next((known for known in WAYS if known == way), None)
    if found is None:
        raise UserError(ODD)
    return found


def _of_words(words: Sequence[Word], log_probabilities: np.ndarray) -> list[float]:
    """The log-probability of each word: the sum of those of its tokens."""
    return [round(float(log_probabilities[word.start : word.end].sum()), 4) for word in words]


def _shown(candidate: Candidate) -> dict[str, Any]:
    probability = float(f"{candidate.probability:.6g}")
    return {"token": candidate.token, "text": candidate.text, "probability": probability}
