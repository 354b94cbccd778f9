"""What runs in the process that ZeroGPU forks: the one place where CUDA is initialised.

The process may serve several calls, and is ended whenever ZeroGPU likes. Its copy of the weights goes to the GPU with
its first call. What it computed serves the follow-ups of one conversation and is forgotten when another asks, or after
two minutes; locks of the page's process may have been held when it was forked, so it uses objects of its own.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from qwen2vl_demo.checkpoint.placement import Placement
from qwen2vl_demo.engine.answer_tokens import AnswerTokens
from qwen2vl_demo.engine.cost.predictor import CostPredictor
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.prefix_cache import prompt_key
from qwen2vl_demo.engine.protocol import Chunk, Result
from qwen2vl_demo.engine.zerogpu.messages import (
    AnswerRequest,
    AttentionRequest,
    Event,
    Failed,
    Measured,
    Refused,
    Request,
    Sampled,
)
from qwen2vl_demo.engine.zerogpu.stop_flags import StopFlags
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.processing.processor import Processor

# Of the seconds that a GPU is lent for: for forking and for initialising CUDA. They pass before the task starts.
START_SECONDS = 10
KEPT_SECONDS = 120.0  # for which a conversation's caches outlive its last call
POLL_SECONDS = 0.02  # how soon a flag is noticed


class Worker:
    """Answers requests on the GPU. Made in the page's process, `run` in the forked ones, one request at a time."""

    def __init__(
        self,
        model: Qwen2VL,
        processor: Processor,
        *,
        name: str,
        placement: Placement,
        end_tokens: frozenset[int],
        stops: StopFlags,
    ) -> None:
        """`model` is in the computer's memory; `placement` says where it shall run."""
        self._model, self._name, self._placement, self._end_tokens = model, name, placement, end_tokens
        self._processor = Processor(processor.config, processor.image, processor.tokenizer, processor.template)
        self._stops = stops
        self._answers = AnswerTokens()
        self._engine: LocalEngine | None = None
        self._salt: str | None = None  # of the conversation whose caches are kept
        self._forgetting: threading.Timer | None = None

    def run(self, request: Request) -> Iterator[Event]:
        """Yields what the request asks for; the last event but one of a failure says which. Nothing if it was stopped
        before it started."""
        if self._stops.is_set(request.stop):
            return
        try:
            with self._watched(request) as cancel:
                yield Chunk(status="Copying the model to the GPU" if self._engine is None else "Got a GPU")
                engine = self._engine or self._load()
                self._keep_only(request.prompt.trace.cache_salt)
                if isinstance(request, AnswerRequest):
                    yield from self._answer(engine, request, cancel)
                else:
                    yield from self._attention(engine, request, cancel)
        except UserError as refused:
            yield Refused(str(refused))
        except Exception:
            yield Failed(traceback.format_exc())
            raise  # so that the process, whose CUDA may be broken, is not used again
        finally:
            self._forget_later()

    def _load(self) -> LocalEngine:
        self._engine = LocalEngine(
            self._model.to(self._placement.device),
            self._processor,
            name=self._name,
            placement=self._placement,
            end_tokens=self._end_tokens,
            capture=False,
            answers=self._answers,
        )
        return self._engine

    def _answer(self, engine: LocalEngine, request: AnswerRequest, cancel: threading.Event) -> Iterator[Event]:
        for chunk in engine.stream((), request.options, cancel, prompt=request.prompt):
            if chunk.result is None:
                yield chunk
                continue
            result = replace(chunk.result, trace=None)  # the page has it
            key = prompt_key(request.prompt.trace)
            if (ids := self._answers.get(key, result.text)) is not None:
                yield Sampled(ids)
            if request.measure and (speed := CostPredictor(engine.model, engine.decoder).calibrate()) is not None:
                yield Measured(speed)
            yield Chunk(result=self._explained(result, request))

    def _explained(self, result: Result, request: AnswerRequest) -> Result:
        """The result; one that was cut off because the GPU's time was over says so."""
        if result.stop_reason != "cancelled" or self._stops.is_set(request.stop):
            return result
        if not result.text:
            raise UserError(
                f"ZeroGPU lends a GPU for {request.seconds} seconds here, too few to read this conversation. Lower the "
                "image budget, send fewer pictures or frames, or begin a new chat."
            )
        note = f"The answer was cut off: ZeroGPU had lent its GPU for {request.seconds} seconds."
        return replace(result, stop_reason="length", notes=(*result.notes, note))

    def _attention(self, engine: LocalEngine, request: AttentionRequest, cancel: threading.Event) -> Iterator[Event]:
        if request.ids is not None:
            self._answers.put(prompt_key(request.prompt.trace), request.answer, request.ids)
        found = engine.word_attention(request.prompt, request.answer, request.word, cancel)
        if found is not None:
            yield found

    @contextmanager
    def _watched(self, request: Request) -> Iterator[threading.Event]:
        """An event that is set when the request's flag is, or when its time is over."""
        until = time.monotonic() + request.seconds - START_SECONDS
        cancel, ended = threading.Event(), threading.Event()

        def watch() -> None:
            while not ended.wait(POLL_SECONDS):
                if self._stops.is_set(request.stop) or time.monotonic() > until:
                    cancel.set()
                    return

        threading.Thread(target=watch, name="stop", daemon=True).start()
        try:
            yield cancel
        finally:
            ended.set()

    def _keep_only(self, salt: str) -> None:
        if self._forgetting is not None:
            self._forgetting.cancel()
        if salt != self._salt:
            self._forget()
        self._salt = salt

    def _forget_later(self) -> None:
        self._forgetting = threading.Timer(KEPT_SECONDS, self._forget)
        self._forgetting.daemon = True
        self._forgetting.start()

    def _forget(self) -> None:
        if self._engine is not None and self._salt is not None:
            self._engine.forget(self._salt)
