"""An engine whose model runs on an OpenAI-compatible server (vLLM, SGLang, ...).

The prompt is prepared here as for a local model, so that the page shows the same trace, and its resized pixels are
sent. Weights, sampling and the special tokens of the text are the server's, and its token counts take precedence over
ours. Every failure is a UserError that names --engine-url, --engine-model or --engine-key. No state of a conversation
is kept; requests run in parallel.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from qwen2vl_demo.attention_trace import AttentionTrace, Word
from qwen2vl_demo.decoding import Decoding
from qwen2vl_demo.engine.cost.estimate import Estimate, tokens_only
from qwen2vl_demo.engine.processors import processor_for, reference_processor
from qwen2vl_demo.engine.protocol import Chunk, GenerationOptions, Result, StopReason
from qwen2vl_demo.engine.remote.request import request_body
from qwen2vl_demo.engine.remote.server import Exchange, Server, UnknownFields, base_url, broken, discover, refusal
from qwen2vl_demo.engine.request_queue import RequestQueue, Ticket
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.processing.processor import Processor, Prompt
from qwen2vl_demo.trace import PromptTrace

NO_ATTENTION = (
    "Where an answer looked can be seen only when the model runs here; this one runs on a server, which sends words "
    "and no attention. Start without --engine-url for it."
)
NO_SERVER_ESTIMATE = "The model runs on a server: what it needs there, and how long, cannot be known from here."
_END: Literal["[DONE]"] = "[DONE]"  # the data of the last event


class RemoteEngine:
    """Answers with the model of a server. Created by `connect`."""

    config = None  # the weights are the server's

    def __init__(self, server: Server, processor: Processor, *, exact_text: bool) -> None:
        """`exact_text`: the processor's tokenizer is the server's, so that text tokens are counted exactly."""
        self.server = server
        self.processor = processor
        self.exact_text = exact_text
        self.name = server.model
        self.queue = RequestQueue(None)  # the server schedules requests itself
        counted = "" if exact_text else "; numbers of text tokens are estimates, made with nano's tokenizer"
        self.description = f"on {server.shown} (OpenAI-compatible server){counted}"

    @classmethod
    def connect(
        cls,
        url: str,
        model: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 300.0,
        checkpoint: str = "nano",
        limits: MediaLimits | None = None,
        decoding: Decoding | None = None,
    ) -> RemoteEngine:
        """Asks the server which models it serves and takes `model`, or the only one.

        `checkpoint` is the directory whose tokenizer and pixel limits prepare prompts; with "nano" or "none" those are
        nano's tokenizer and the released checkpoints' limits. Raises UserError for whatever the flags can change.
        """
        server = discover(Server(base_url(url), model or "", key, timeout))
        if checkpoint in ("nano", "none"):
            return cls(server, reference_processor(limits, decoding), exact_text=False)
        return cls(server, processor_for(checkpoint, limits, decoding), exact_text=True)

    @property
    def pixel_limits(self) -> tuple[int, int]:
        return self.processor.image.min_pixels, self.processor.image.max_pixels

    def warm_up(self) -> None:
        """Nothing can be measured of a server."""

    def forget(self, cache_salt: str) -> None:
        self.processor.forget(cache_salt)

    def prepare(self, messages: Sequence[Message], options: GenerationOptions) -> PromptTrace:
        return self._process(messages, options).trace

    def prompt(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: threading.Event | None = None
    ) -> Prompt:
        return self._process(messages, options, cancel, thumbnails=True)

    def estimate(self, trace: PromptTrace, options: GenerationOptions) -> Estimate:
        counted = "" if self.exact_text else " The tokens of words are counted with nano's tokenizer."
        return tokens_only(trace, f"{NO_SERVER_ESTIMATE}{counted}")

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
            raise UserError(
                f"{self.server.shown} gives its tokens their positions itself; only a model here can differ."
            )
        answer = _Completion(time.monotonic())
        try:
            prompt = prompt or self._process(messages, options, cancel)
            if ticket is not None:
                ticket.wait(cancel)
        except Cancelled:
            answer.stop_reason = "cancelled"
            yield Chunk(result=answer.result())
            return
        trace = prompt.trace
        answer.prepared(trace)
        frames = {(v.message, v.part): m.frames for v, m in zip(prompt.trace.media, prompt.media, strict=True)}
        if self.exact_text:  # servers refuse more tokens than their context has room for
            room = max(1, trace.context_length - len(trace))
            options = replace(options, max_new_tokens=min(options.max_new_tokens, room))
        options = replace(options, cache_salt=trace.cache_salt)
        body = request_body(self.server.model, messages, frames, options, sampled_clips=self.server.sampled_clips)
        dropped: list[str] = []
        while True:
            yield Chunk(status=f"Waiting for {self.server.shown}")
            try:
                yield from self._exchange(body, answer, cancel)
            except UnknownFields as unknown:  # a strict server: ask again without these fields
                body = {name: value for name, value in body.items() if name not in unknown.names}
                dropped += [name for name in unknown.names if name not in ("skip_special_tokens", "cache_salt")]
                if dropped:
                    yield Chunk(status=f"{self.server.shown} does not know {' and '.join(dropped)}; answering without")
                continue
            break
        yield Chunk(result=answer.result())

    def answer_words(self, trace: PromptTrace, answer: str) -> tuple[Word, ...]:
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

    def _process(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        thumbnails: bool = False,
    ) -> Prompt:
        """The prompt, with the server's context length where it is known."""
        prompt = self.processor.process(
            messages,
            options.media,
            add_vision_id=options.add_vision_id,
            cache_salt=options.cache_salt,
            cancel=cancel,
            thumbnails=thumbnails,
        )
        if self.server.context_length is None:
            return prompt
        return replace(prompt, trace=replace(prompt.trace, context_length=self.server.context_length))

    def _exchange(self, body: dict[str, Any], answer: _Completion, cancel: threading.Event | None) -> Iterator[Chunk]:
        exchange = Exchange(self.server, body)
        try:
            for data in exchange.events(cancel):
                if text := answer.read(data, self.server):
                    yield Chunk(text=text)
                if answer.done:
                    return
            if cancel is not None and cancel.is_set():
                answer.stop_reason = "cancelled"
            elif answer.stop_reason is None:
                raise broken(self.server, "it closed the connection")
        finally:
            exchange.close()


class _Completion:
    """A streamed chat completion: the text and the numbers of the events so far."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.trace: PromptTrace | None = None  # None until the prompt is prepared
        self.timings: dict[str, float] = {}
        self.text = ""
        self.pieces = 0
        self.usage: dict[str, Any] = {}
        self.stop_reason: StopReason | None = None
        self.done = False
        self._half = ""  # the first half of a surrogate pair that was split between two events

    def prepared(self, trace: PromptTrace) -> None:
        self.trace = trace
        self.timings["prepare"] = time.monotonic() - self.started

    def read(self, data: str, server: Server) -> str:
        """Reads one event; returns its new text, "" if it has none. Raises UserError for what is no chat completion."""
        if data == _END:
            self.done = True
            self.stop_reason = self.stop_reason or "end"
            return ""
        try:
            event = json.loads(data)
            if "error" in event:
                code = event["error"].get("code") if isinstance(event["error"], dict) else None
                raise refusal(server, code if isinstance(code, int) else 500, event)
            self.usage = event.get("usage") or self.usage
            choice = (event.get("choices") or [{}])[0]
            if choice.get("finish_reason"):
                self.stop_reason = "length" if choice["finish_reason"] == "length" else "end"
            text = (choice.get("delta") or {}).get("content") or ""
        except (ValueError, TypeError, AttributeError, KeyError, IndexError):
            raise UserError(
                f"{server.shown} sent something that is no chat completion ({data[:80]!r}); "
                "give the address of an OpenAI-compatible server with --engine-url."
            ) from None
        return self._join_surrogates(text)

    def _join_surrogates(self, text: str) -> str:
        if not text:
            return ""
        self.pieces += 1
        self.timings.setdefault("first_token", time.monotonic() - self.started)
        text = self._half + text
        self._half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
        text = text.removesuffix(self._half) if self._half else text
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        self.text += text
        return text

    def result(self) -> Result:
        total = time.monotonic() - self.started
        timings = {**self.timings, "total": total}
        if "first_token" in timings:
            timings["decode"] = total - timings["first_token"]
        assert self.stop_reason is not None
        return Result(
            text=self.text,
            stop_reason=self.stop_reason,
            prompt_tokens=int(self.usage.get("prompt_tokens") or len(self.trace or ())),
            # Without a count from the server: one event for each token. vLLM counts the end token too.
            new_tokens=int(self.usage.get("completion_tokens") or self.pieces),
            timings=timings,
            trace=self.trace,
        )
