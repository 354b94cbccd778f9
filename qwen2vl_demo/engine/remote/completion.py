"""A chat completion out of its events: the text, the numbers and the reason for its end.

Everything comes from a server and is checked: odd numbers are left out and do not spoil an answer, while an error in
any of the forms that servers use is raised.
"""

from __future__ import annotations

import json
import math
import re
import time
from typing import Any

from qwen2vl_demo.engine.protocol import Result, StopReason
from qwen2vl_demo.engine.remote.event_stream import Event
from qwen2vl_demo.engine.remote.failures import broken, no_answer, no_completion
from qwen2vl_demo.engine.remote.refusals import refusal
from qwen2vl_demo.engine.remote.server import Server
from qwen2vl_demo.trace import PromptTrace

END = "[DONE]"  # the data of the last event
MAX_CHARACTERS = 200_000  # of an answer: what a chat keeps; far more than any answer has
MAX_TOKENS = 10**9  # a count above this is none

# An error that a server wrote into a stream without escaping the quotes in it, so that it is no JSON.
_BARE_ERROR = re.compile(r'\s*\{\s*"(?:error|message|detail)"\s*:\s*"?')


class Completion:
    """What the events so far amount to."""

    def __init__(self, started: float) -> None:
        """`started` is the time.monotonic() at which the request began."""
        self.started = started
        self.trace: PromptTrace | None = None  # None until the prompt is prepared
        self.timings: dict[str, float] = {}
        self.pieces = 0
        self._text: list[str] = []
        self._characters = 0
        self.prompt_tokens: int | None = None  # as the server counts; None where it does not say
        self.new_tokens: int | None = None
        self.stop_reason: StopReason | None = None
        self.done = False  # nothing more is read
        self._finish = ""  # the server's word for why it stopped
        self._refusal = ""  # what the model said instead of an answer
        self._thinking = 0  # pieces of reasoning, which are not shown
        self._half = ""  # the first half of a surrogate pair that was split between two events

    @property
    def text(self) -> str:
        return "".join(self._text)

    def prepared(self, trace: PromptTrace) -> None:
        self.trace = trace
        self.timings["prepare"] = time.monotonic() - self.started

    def waited(self, seconds: float) -> None:
        """Time until the server was up is no part of what the answer took."""
        self.timings["wait"] = self.timings.get("wait", 0.0) + seconds

    def read(self, event: Event, server: Server) -> str:
        """Reads one event; returns its new text, "" if it has none. Raises ServerFailure for an error, and for what is
        no chat completion."""
        data = event.data
        if data.strip() == END:
            self.done = True
            self.stop_reason = self.stop_reason or "end"
            return ""
        try:
            record = json.loads(data)
        except RecursionError:
            raise no_completion(server, data) from None
        except ValueError:
            if event.name == "error" or _BARE_ERROR.match(data):
                raise _failed(server, _BARE_ERROR.sub("", data, count=1).rstrip('"} \n')) from None
            raise no_completion(server, data) from None
        if isinstance(record, list):
            record = next((item for item in record if isinstance(item, dict)), None)
        if not isinstance(record, dict):
            raise no_completion(server, data)
        if event.name == "error" or _is_error(record):
            raise _failed(server, record)
        self._count(record.get("usage"))
        choices = record.get("choices")
        if choices is None:
            return ""  # a ping, or the server's own timings
        if not isinstance(choices, list):
            raise no_completion(server, data)
        choice = next((c for c in choices if isinstance(c, dict) and not c.get("index")), None)
        if choice is None:
            if any(not isinstance(c, dict) for c in choices):
                raise no_completion(server, data)
            return ""
        if choice.get("error"):
            raise _failed(server, choice)
        return self._choice(choice, server, data)

    def ended(self, server: Server) -> None:
        """The stream has ended by itself. Raises ServerFailure if the answer is none."""
        if self.stop_reason is None:
            raise broken(server, "it closed the connection")
        if self.text.strip() or self.stop_reason == "cancelled":
            return
        if self._refusal:
            raise no_answer(server, f"the model declines ({_short(self._refusal)})", advice="Ask something else.")
        if self._finish == "content_filter":
            raise no_answer(server, "its filter held the answer back", advice="Ask in other words.")
        if self._thinking:
            raise no_answer(
                server,
                "all of its tokens went into thinking",
                advice="Raise the length of the answer in the settings, or ask for less.",
            )
        if self._finish not in ("stop", "length", "eos", "end_turn"):
            raise no_answer(
                server, f"it gave the reason {_short(self._finish)!r}" if self._finish else "without reason"
            )

    def result(self) -> Result:
        total = time.monotonic() - self.started
        timings = {**self.timings, "total": total}
        if "first_token" in timings:
            timings["decode"] = total - timings["first_token"]
        assert self.stop_reason is not None
        return Result(
            text=self.text,
            stop_reason=self.stop_reason,
            prompt_tokens=self.prompt_tokens or len(self.trace or ()),
            # Without a count from the server: one event for each token. vLLM counts the end token too.
            new_tokens=self.new_tokens or self.pieces,
            timings=timings,
            trace=self.trace,
        )

    def _choice(self, choice: dict[str, Any], server: Server, data: str) -> str:
        part = choice.get("delta") or choice.get("message") or {}
        if not isinstance(part, dict):
            raise no_completion(server, data)
        text = _text(part.get("content", choice.get("text")))  # `text` is the older API's
        if text is None:
            raise no_completion(server, data)
        if isinstance(part.get("refusal"), str):
            self._refusal += part["refusal"][: 10 * MAX_CHARACTERS - len(self._refusal)]
        self._thinking += bool(part.get("reasoning_content") or part.get("reasoning"))
        reason = choice.get("finish_reason")
        if isinstance(reason, dict):  # SGLang: {"type": "abort", "message": ...}
            reason = reason.get("type")
        if reason:
            self._finish = str(reason)
            if self._finish in ("error", "abort"):
                raise _failed(server, choice)
            self.stop_reason = "length" if self._finish in ("length", "max_tokens") else "end"
        return self._add(text)

    def _add(self, text: str) -> str:
        if not text:
            return ""
        self.pieces += 1
        self.timings.setdefault("first_token", time.monotonic() - self.started)
        text = self._half + text
        self._half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
        text = text.removesuffix(self._half) if self._half else text
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if self._characters + len(text) >= MAX_CHARACTERS:
            text = text[: MAX_CHARACTERS - self._characters]
            self.done, self.stop_reason = True, "length"
        self._text.append(text)
        self._characters += len(text)
        return text

    def _count(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self.prompt_tokens = _count(usage.get("prompt_tokens")) or self.prompt_tokens
            self.new_tokens = _count(usage.get("completion_tokens")) or self.new_tokens


def _failed(server: Server, answer: Any) -> Exception:
    """The exception for an error inside a stream, whose status was 200."""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    code = error.get("code", error.get("status")) if isinstance(error, dict) else None
    status = code if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600 else 500
    return refusal(server, status, answer)


def _is_error(record: dict[str, Any]) -> bool:
    """Whether an event reports an error, in whichever form."""
    if record.get("error"):
        return True
    if "choices" in record:
        return False
    return record.get("object") == "error" or record.get("type") == "error" or "message" in record or "detail" in record


def _text(content: Any) -> str | None:
    """The text of a content, which may be a list of parts; None for what is no content."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        content = [content]
    if isinstance(content, list):
        texts = [part.get("text", "") if isinstance(part, dict) else part for part in content]
        return "".join(text for text in texts if isinstance(text, str))
    return None


def _count(value: Any) -> int | None:
    """A number of tokens; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if math.isfinite(value) and 0 < value < MAX_TOKENS else None


def _short(text: str) -> str:
    return " ".join(text[:600].split())[:200].rstrip(".")
