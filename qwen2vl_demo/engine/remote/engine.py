"""An engine whose model runs on an OpenAI-compatible server (vLLM, SGLang, ...).

The prompt is prepared here as for a local model, so that the page shows the same trace, and its resized pixels are
sent. Weights, sampling and the special tokens of the text are the server's. Its token counts take precedence over ours;
where they differ, the result says so. Every failure is a UserError; what only whoever runs the program can change is
logged. No state of a conversation is kept; requests run in parallel.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qwen2vl_demo.attention_trace import AttentionTrace, Word
from qwen2vl_demo.box_forms import box_form
from qwen2vl_demo.decoding import Decoding
from qwen2vl_demo.engine.cost.estimate import Estimate, tokens_only
from qwen2vl_demo.engine.processors import processor_for, reference_processor
from qwen2vl_demo.engine.protocol import Abilities, Chunk, GenerationOptions, Laboratory, Result
from qwen2vl_demo.engine.remote.answer_times import AnswerTimes
from qwen2vl_demo.engine.remote.completion import Completion
from qwen2vl_demo.engine.remote.dialect import Dialect
from qwen2vl_demo.engine.remote.discovery import discover
from qwen2vl_demo.engine.remote.exchange import Exchange
from qwen2vl_demo.engine.remote.failures import ServerFailure, tell_operator
from qwen2vl_demo.engine.remote.media_parts import MediaParts
from qwen2vl_demo.engine.remote.question import Question
from qwen2vl_demo.engine.remote.refusals import UnknownFields
from qwen2vl_demo.engine.remote.request import plain_messages
from qwen2vl_demo.engine.remote.server import Server, base_url, checked_key
from qwen2vl_demo.engine.remote.server_tokenizer import NotAvailable
from qwen2vl_demo.engine.remote.still_frames import has_clips
from qwen2vl_demo.engine.remote.usage import difference
from qwen2vl_demo.engine.remote.watched_server import WatchedServer
from qwen2vl_demo.engine.request_queue import RequestQueue, Ticket
from qwen2vl_demo.engine.result_builder import check_context
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.processing.messages import Message, without_unfinished
from qwen2vl_demo.processing.processor import Processor, Prompt
from qwen2vl_demo.trace import PromptTrace

log = logging.getLogger(__name__)

NO_ATTENTION = (
    "Where an answer looked can be seen only when the model runs here; this one runs on a server, which sends words "
    "and no attention. It takes a model that runs here."
)
NO_LABORATORY = (
    "This looks into the model itself, so it works only when the model runs here; this one runs on a server, which "
    "sends words and no numbers. It takes a model that runs here."
)
NO_SERVER_ESTIMATE = (
    "The model runs on a server: how long it takes is learned from its answers, and what memory it needs is not known "
    "here."
)
NANO_COUNTS = "The tokens of words are counted with nano's tokenizer."
# Failures that may come of a medium that was sent by its name alone.
NOT_HELD = ("refused", "failed", "no pictures", "no video")


class RemoteEngine:
    """Answers with the model of a server. Created by `connect`."""

    config = None  # the weights are the server's

    def __init__(
        self, server: Server, processor: Processor, *, exact_text: bool, wanted_model: str | None = None
    ) -> None:
        """`exact_text`: the processor's tokenizer is the server's, so that text tokens are counted exactly.
        `wanted_model` is kept when the server is restarted with another one; None takes whatever it serves."""
        self.processor = processor
        self.queue = RequestQueue(None)  # the server schedules requests itself
        self._watched = WatchedServer(
            server, processor, exact_text=exact_text, wanted_model=wanted_model, changed=self._serves_another_model
        )
        self._dialect = Dialect.of(server.software)  # learnt from what the server refuses
        self._parts = MediaParts()
        self._times = AnswerTimes()

    @classmethod
    def connect(
        cls,
        url: str,
        model: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 300.0,
        wait: float | None = None,
        checkpoint: str = "nano",
        preprocessing: str | None = None,
        limits: MediaLimits | None = None,
        say: Callable[[str], None] | None = None,
        decoding: Decoding | None = None,
    ) -> RemoteEngine:
        """Asks the server which models it serves and takes `model`, or the only one.

        A server that is starting is waited for, up to `wait` seconds (None: `timeout`); `say` is told (by default,
        standard error).
        `checkpoint` is the directory whose tokenizer and pixel limits prepare prompts; with "nano" or "none" those are
        the server's tokenizer, where it offers that, or else nano's, and the released checkpoints' limits.
        `preprocessing` is as for `processor_for`. Raises UserError for whatever the flags can change.
        """
        try:
            server = discover(Server(base_url(url), model or "", checked_key(key), timeout), say=say, wait=wait)
        except UserError as failure:  # whoever starts the program reads this, and no visitor
            raise UserError(failure.for_operator) from None
        if model and server.listed and model not in server.listed:
            log.warning("%s lists %s and not %r; trying it", server.shown, ", ".join(server.listed), model)
        if checkpoint not in ("nano", "none"):
            processor = processor_for(checkpoint, limits, decoding, preprocessing=preprocessing)
            return cls(server, processor, exact_text=True, wanted_model=model)
        engine = cls(server, reference_processor(limits, decoding), exact_text=False, wanted_model=model)
        engine._watched.ask_for_tokenizer()
        return engine

    @property
    def server(self) -> Server:
        """The server as it was last seen."""
        return self._watched.server

    @property
    def name(self) -> str:
        return self.server.model_name

    @property
    def abilities(self) -> Abilities:
        form = box_form(self.name)
        return Abilities(
            attention=False,
            positions=False,
            resumes=self.server.software == "vLLM",
            regions=form is None or form.asked,
        )

    @property
    def description(self) -> str:
        software = self.server.software or "OpenAI-compatible"
        counted = "" if self.counts_exactly else "; numbers of text tokens are estimates, made with nano's tokenizer"
        return f"on a server ({software}){counted}"

    @property
    def counts_exactly(self) -> bool:
        """Whether the ids of text are the server's, and not estimates with nano's tokenizer."""
        return self._watched.counts_exactly

    @property
    def pixel_limits(self) -> tuple[int, int]:
        return self.processor.image.min_pixels, self.processor.image.max_pixels

    @property
    def max_frames(self) -> int:
        return self.processor.image.max_frames

    def warm_up(self) -> None:
        """Nothing can be measured of a server before it answers."""

    def forget(self, cache_salt: str) -> None:
        self.processor.forget(cache_salt)
        self._parts.forget(cache_salt)

    def prepare(self, messages: Sequence[Message], options: GenerationOptions) -> PromptTrace:
        return self._question(messages, options).prompt.trace

    def prompt(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: threading.Event | None = None
    ) -> Prompt:
        return self._question(messages, options, cancel, thumbnails=True).prompt

    def estimate(self, trace: PromptTrace, options: GenerationOptions) -> Estimate:
        times = self._times.predict(len(trace))
        if times is not None:
            return replace(tokens_only(trace, self._times.basis), times=times, place="on the server")
        return tokens_only(trace, NO_SERVER_ESTIMATE if self.counts_exactly else f"{NO_SERVER_ESTIMATE} {NANO_COUNTS}")

    def stream(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        prompt: Prompt | None = None,
        ticket: Ticket | None = None,
    ) -> Generator[Chunk, None, None]:
        """Streams the server's answer. Setting `cancel`, or closing the generator, closes the connection at once."""
        if options.positions != "mrope":
            raise UserError("A server gives its tokens their positions itself; only a model here can differ.")
        answer = Completion(time.monotonic())
        cancel = cancel or threading.Event()
        try:
            question = self._question(messages, options, cancel, prompt=prompt)
            if ticket is not None:
                ticket.wait(cancel)
            self._watched.look_again()
            question = self._in_context(question)
            check_context(question.prompt.trace, exact_text=self.counts_exactly)
            if cancel.is_set():
                raise Cancelled
        except Cancelled:
            answer.stop_reason = "cancelled"
            yield Chunk(result=answer.result())
            return
        answer.prepared(question.prompt.trace)
        try:
            question = yield from self._ask(question, answer, cancel)
        except ServerFailure as failure:
            tell_operator(failure.for_operator)
            raise
        yield Chunk(result=replace(self._result(answer), notes=question.notes(self.server)))

    def answer_words(self, trace: PromptTrace, answer: str) -> tuple[Word, ...]:
        raise UserError(NO_ATTENTION)

    def answer_tokens(self, trace: PromptTrace, answer: str) -> tuple[str, ...]:
        raise UserError(NO_ATTENTION)

    def word_attention(
        self,
        prompt: Prompt,
        answer: str,
        word: int,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> AttentionTrace | None:
        raise UserError(NO_ATTENTION)

    def laboratory(self) -> Laboratory:
        raise UserError(NO_LABORATORY)

    def _question(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        prompt: Prompt | None = None,
        dialect: Dialect | None = None,
        thumbnails: bool = False,
    ) -> Question:
        """The question in the form that the server takes, with its ids and context length where they are known.

        `prompt` is that of an earlier call with the same messages and options.
        """
        messages, written = without_unfinished(plain_messages(messages))
        question = self._new_question(messages, options, cancel, prompt=prompt, dialect=dialect, thumbnails=thumbnails)
        return replace(question, written=written)

    def _new_question(
        self,
        plain: Sequence[Message],
        options: GenerationOptions,
        cancel: threading.Event | None,
        *,
        prompt: Prompt | None,
        dialect: Dialect | None,
        thumbnails: bool,
    ) -> Question:
        """The same for plain messages, of whose last one no answer is written yet."""
        dialect = dialect or self._dialect
        if prompt is not None:
            options = replace(options, cache_salt=prompt.trace.cache_salt)
        as_they_are = not has_clips(plain) or (dialect.video and not options.media.time_stamps)
        if prompt is not None and as_they_are:
            return Question(tuple(plain), prompt, options, dialect).with_regions(box_form(self.name))

        def made(processor: Processor) -> Question:
            new = processor.process(
                plain,
                replace(options.media, time_stamps=False),
                add_vision_id=options.add_vision_id,
                cache_salt=options.cache_salt,
                cancel=cancel,
                thumbnails=thumbnails,
            )
            new = replace(new, trace=replace(new.trace, context_length=self.server.context_length))
            question = Question(tuple(plain), new, options, dialect).with_regions(box_form(self.name), processor)
            if not dialect.video:
                question = question.without_video(processor)
            elif options.media.time_stamps:
                question = question.with_time_stamps(processor)
            same = prompt is not None and np.array_equal(prompt.trace.input_ids, question.prompt.trace.input_ids)
            return replace(question, prompt=prompt) if prompt is not None and same else question

        if (counting := self._watched.counting) is not None:
            try:
                return made(counting)
            except NotAvailable as problem:
                self._watched.lost_tokenizer(problem)
        return made(self.processor)

    def _in_context(self, question: Question) -> Question:
        """The question with the server's context length of now: it may have been prepared before a restart."""
        trace, length = question.prompt.trace, self.server.context_length
        if trace.context_length == length:
            return question
        return replace(question, prompt=replace(question.prompt, trace=replace(trace, context_length=length)))

    def _ask(self, question: Question, answer: Completion, cancel: threading.Event) -> Generator[Chunk, None, Question]:
        """Asks; asks again in another form where the server refuses the first, and when it is up again.

        Returns the form that the server took, in which later questions are asked.
        """
        waiting_since: float | None = None
        while True:
            yield Chunk(status="Waiting for the server")
            body = question.body(self.server, self._parts, self.pixel_limits)
            try:
                yield from self._exchange(body, answer, cancel)
                break
            except UnknownFields as unknown:  # a strict server
                question = replace(question, dialect=question.dialect.without(unknown.names))
            except ServerFailure as failure:
                if answer.pieces:
                    raise
                if failure.cause in NOT_HELD and self._parts.lost(question.prompt.media, question.options.cache_salt):
                    continue
                if failure.cause == "no video" and question.dialect.video:
                    yield Chunk(status="The server takes no video; sending the frames as pictures")
                    dialect = question.dialect.without_video()
                    asked, written = question.unstamped or question.messages, question.written
                    question = self._question(asked, question.options, dialect=dialect)
                    question = replace(question, written=written)
                    check_context(question.prompt.trace, exact_text=self.counts_exactly)
                    answer.trace = question.prompt.trace
                elif failure.cause == "no model":  # it was restarted with another one, or the name is wrong
                    if waiting_since is not None or not self._watched.look_again(now=True):
                        raise
                    waiting_since = time.monotonic()
                elif failure.cause in ("not up", "loading"):
                    began = waiting_since = waiting_since or time.monotonic()
                    yield from self._watched.until_up(failure, began, answer, cancel)
                    if cancel.is_set():
                        answer.stop_reason = "cancelled"
                        return question
                else:
                    raise
        if answer.pieces:
            self._dialect = question.dialect
            if self.server.software == "vLLM":
                self._parts.sent(question.prompt.media, question.options.cache_salt)
        return question

    def _serves_another_model(self, server: Server) -> None:
        self._times.forget()
        self._dialect = Dialect.of(server.software)

    def _exchange(self, body: dict[str, Any], answer: Completion, cancel: threading.Event) -> Iterator[Chunk]:
        exchange = Exchange(self.server, body)
        try:
            for event in exchange.events(cancel):
                if text := answer.read(event, self.server):
                    yield Chunk(text=text)
                if answer.done:
                    break
            if cancel.is_set() and not answer.done:
                answer.stop_reason = "cancelled"
            answer.ended(self.server)
            self._watched.answered()
        finally:
            exchange.close()

    def _result(self, answer: Completion) -> Result:
        """The result, from which later predictions learn."""
        result = answer.result()
        if result.stop_reason != "cancelled":
            self._times.observe(result.prompt_tokens, result.new_tokens, result.timings)
        if answer.trace is None:
            return result
        exact = self.counts_exactly
        remark = difference(answer.trace, answer.prompt_tokens, self.server, exact_text=exact)
        if remark:
            tell_operator(f"{self.server.shown}: {remark}")
        return replace(result, remark=remark)
