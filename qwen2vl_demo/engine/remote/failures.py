"""What went wrong with a server, in two sentences: one for the visitor and one for whoever runs the program.

The visitor is told what they can do. The operator's sentence has the address, the server's own reason and the flag or
the server's setting to change; it goes to the log, and the command line prints it. Neither holds the key.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Literal

import httpx

from qwen2vl_demo.engine.remote.dialect import refused_fields
from qwen2vl_demo.engine.remote.server import WRITE_SECONDS, Server, shown
from qwen2vl_demo.errors import UserError

# For whoever runs a page; the command line prints the same itself, and silences this.
log = logging.getLogger("qwen2vl_demo.server")

MAX_REASON = 300  # characters of a server's reason that are shown
MAX_WHOLE_REASON = 4000  # that are searched for what they mean
MAX_DEPTH = 6  # at which a reason is looked for in nested JSON

Cause = Literal[
    "not up", "loading", "no model", "key", "address", "busy", "silent", "broken", "failed", "memory", "no answer",
    "too long", "too large", "too many", "no pictures", "no video", "refused",
]  # fmt: skip

OPERATOR = "whoever runs this page finds the reason in its log"

# Words of reasons, in lower case, by what they mean; the first that fits counts. vLLM, SGLang, llama.cpp, LM Studio,
# Ollama and transformers write these.
_TOO_LARGE = ("encoder cache", "encoder budget", "pre-allocated encoder")
_TOO_LONG = (
    "context length", "context_length", "context size", "context window", "max_model_len", "maximum context",
    "too long", "maximum length", "longer than", "input length", "exceed_context_size",
)  # fmt: skip
_NO_PICTURES = (
    "image input is not supported", "not support image", "mmproj", "not a multimodal model", "vision add-on",
    "missing data required for image", "`image_url`", '"image_url"', "invalid image input",
)  # fmt: skip
_NO_VIDEO = (
    "video input is not supported", "not support video", "video_url", "unsupported content[].type",
    "must be a base64 encoded image", "invalid message format",
)  # fmt: skip
_NO_MODEL = ("model_not_found", "does not exist", "not found", "no models loaded", "pinned to", "unknown model")
_MEMORY = ("out of memory", "outofmemory", "cuda error: out")
_AT_MOST = re.compile(r"at most (\d{1,6}) (image|picture|video)")

_ADDRESSES = re.compile(r"\w{2,10}://\S+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b")
_PATHS = re.compile(r"(?<![\w/])(?:~|[A-Za-z]:)?[/\\](?:[\w.@+-]+[/\\])+[\w.@+-]*")


class ServerFailure(UserError):
    """A failure of the server or of the way to it. Its text is for visitors."""

    def __init__(self, sentence: str, *, for_operator: str, cause: Cause) -> None:
        super().__init__(sentence, for_operator=for_operator)
        self.cause: Cause = cause


def tell_operator(sentence: str) -> None:
    """Tells whoever runs the page what its visitors cannot change."""
    log.warning("%s", sentence)


class UnknownFields(Exception):
    """The server refuses fields of the request because it does not know them."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


def reason_of(answer: Any, server: Server, most: int = MAX_REASON) -> str:
    """The server's reason in one line without a full stop at its end, cut to `most` characters; "" if it gave none.

    It is nested in `error` (OpenAI, llama.cpp, Ollama), beside it (vLLM, LM Studio), in a list (Gemini) or in `detail`
    (FastAPI), or it is the whole body.
    """
    text = _find_reason(answer, MAX_DEPTH)[: 4 * most]
    if server.key:
        text = text.replace(server.key, "…")
    text = " ".join(text.split())
    return (text if len(text) <= most else text[: most - 1] + "…").rstrip(".")


def for_visitors(reason: str) -> str:
    """A reason without addresses and paths of the server."""
    return _PATHS.sub("…", _ADDRESSES.sub("…", reason))


def refusal(
    server: Server, status: int, answer: Any, body: Mapping[str, Any] | None = None
) -> ServerFailure | UnknownFields:
    """The exception for a response with a status other than 200, or for an error event in a stream.

    `answer` is the parsed body, or its text if it is no JSON.
    """
    reason = reason_of(answer, server)
    whole = reason_of(answer, server, MAX_WHOLE_REASON)
    lower = f"{whole} {_code(answer)}".lower()
    said = f"{status}: {reason}" if reason else f"{status}"
    if status in (401, 403):
        return _key_refused(server, said)
    if 300 <= status < 400:
        return _wrong_address(server, f"it sends requests elsewhere ({said})")
    if body is not None and status < 500 and (unknown := refused_fields(body, whole)):
        return UnknownFields(unknown)
    if _is_missing_model(status, lower):
        return _no_model(server, said)
    if status in (404, 405):
        return _wrong_address(server, f"it has no /chat/completions ({said}); the address usually ends in /v1")
    if status == 429:
        return _busy(server, said, lower)
    for explain in (_too_many, _too_large, _too_long, _no_video, _no_pictures, _memory):
        if (failure := explain(server, lower, said, reason, _sent(body))) is not None:
            return failure
    if status in (502, 503, 504):
        return not_up(server, said, loading="loading" in lower or "starting" in lower)
    quoted = f": {for_visitors(reason)}" if reason else ""
    if status >= 500:
        return _failure(
            "failed", f"The model's server failed{quoted}. Ask again; if it stays so, {OPERATOR}.",
            f"{server.shown} failed ({said}); look at the log of that server.",
        )  # fmt: skip
    return _failure(
        "refused", f"The model's server refuses this{quoted}. Ask in another way, or clear the chat.",
        f"{server.shown} refuses a request for {server.model!r} ({said}); look at the log of that server.",
    )  # fmt: skip


def not_up(server: Server, how: str, *, loading: bool = False) -> ServerFailure:
    """Nothing listens yet, or what listens says that the model is not ready."""
    doing = "is still loading the model" if loading else "does not answer at the moment"
    return _failure(
        "loading" if loading else "not up",
        f"The model's server {doing}. Ask again in a minute.",
        f"No model is ready at {server.shown} ({how}); start the server, or correct --engine-url.",
    )


def broken(server: Server, how: str) -> ServerFailure:
    return _failure(
        "broken",
        "The connection to the model's server broke before the answer was finished. Ask again.",
        f"The connection to {server.shown} broke before the answer was finished ({how}); if it happens again, look at "
        "the log of the server at --engine-url.",
    )


def no_completion(server: Server, sample: str) -> ServerFailure:
    """What came is not what an OpenAI-compatible server sends."""
    return _wrong_address(server, f"it sent something that is no chat completion ({sample[:80]!r})")


def no_answer(server: Server, why: str, *, advice: str = "Ask again, or in other words.") -> ServerFailure:
    """The answer ended without a word. `why` continues a sentence, and may hold the server's words."""
    return _failure(
        "no answer",
        f"The model's server ended its answer before the first word: {for_visitors(why)}. {advice}",
        f"{server.shown} ended its answer before the first word: {why}.",
    )


def too_much(server: Server, what: str) -> ServerFailure:
    """The server sent more than any answer has."""
    return _failure(
        "broken",
        f"The model's server sent {what}, which no answer has. Ask again.",
        f"{server.shown} sent {what}, which no answer has; look at the log of that server, or correct --engine-url.",
    )


def unreachable(server: Server, error: Exception, seconds: float | None = None) -> ServerFailure:
    """The exception for an error of the HTTP client. `seconds` is how long it waited, where not `server.timeout`."""
    text = shown(str(error)) if "://" in str(error) else str(error)
    if isinstance(error, httpx.ConnectError) and _refused(error):
        return not_up(server, "connection refused")
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        reason = "no answer" if isinstance(error, httpx.ConnectTimeout) else text or "refused"
        return _failure(
            "address",
            f"The model's server cannot be reached. Ask again later; {OPERATOR}.",
            f"No server answers at {server.shown} ({reason}); start it, or correct --engine-url.",
        )
    if isinstance(error, httpx.WriteTimeout):
        return broken(server, f"it took none of the request for {WRITE_SECONDS:g} seconds")
    if isinstance(error, httpx.TimeoutException):
        waited = server.timeout if seconds is None else seconds
        longer = "overloaded, or allow it more with --engine-timeout" if seconds is None else "overloaded or starting"
        return _failure(
            "silent",
            f"The model's server said nothing for {waited:g} seconds. Ask again, with fewer or smaller "
            "pictures if it had many to read.",
            f"{server.shown} was silent for {waited:g} seconds; look whether it is {longer} (and check --engine-url).",
        )
    if isinstance(error, httpx.HTTPError):
        return broken(server, text or type(error).__name__)
    return _wrong_address(server, f"it cannot be asked ({text or type(error).__name__}), perhaps because of a proxy")


def _failure(cause: Cause, sentence: str, for_operator: str) -> ServerFailure:
    return ServerFailure(sentence, for_operator=for_operator, cause=cause)


def _key_refused(server: Server, said: str) -> ServerFailure:
    return _failure(
        "key",
        f"The model's server does not let this page in. Only whoever runs the page can change that; {OPERATOR}.",
        f"{server.shown} refuses the key ({said}); set the right one with --engine-key or QWEN2VL_ENGINE_KEY.",
    )


def _wrong_address(server: Server, why: str) -> ServerFailure:
    return _failure(
        "address",
        f"The model's server does not understand this page. Only whoever runs the page can change that; {OPERATOR}.",
        f"{server.shown} is no OpenAI-compatible server: {why}; correct --engine-url.",
    )


def _no_model(server: Server, said: str) -> ServerFailure:
    served = f"; it serves {', '.join(server.listed)}" if server.listed else ""
    return _failure(
        "no model",
        f"The model's server does not have the model that this page asks for. {OPERATOR[0].upper()}{OPERATOR[1:]}.",
        f"{server.shown} has no model called {server.model!r} ({said}{served}); correct --engine-model.",
    )


def _busy(server: Server, said: str, lower: str) -> ServerFailure:
    spent = "quota" in lower or "billing" in lower or "credit" in lower
    if spent:
        return _failure(
            "busy", f"The model's server takes no more questions from this page for now; {OPERATOR}.",
            f"{server.shown} takes no more requests for this key ({said}); look at the account's quota.",
        )  # fmt: skip
    return _failure(
        "busy",
        "The model's server is busy. Ask again in a moment.",
        f"{server.shown} is busy ({said}).",
    )


def _too_many(server: Server, lower: str, said: str, reason: str, sent: frozenset[str]) -> ServerFailure | None:
    if (found := _AT_MOST.search(lower)) is None:
        return None
    most, noun = int(found[1]), "clip" if found[2] == "video" else "picture"
    how = f"{server.shown} takes at most {most} {noun}s in a conversation ({said})"
    start = " to change that, start vLLM with --limit-mm-per-prompt, as in docs/servers.md."
    if most == 0:
        cause: Cause = "no video" if noun == "clip" else "no pictures"
        return _failure(cause, f"The model's server takes no {noun}s. Ask without.", f"{how};{start}")
    count = f"{most} {noun}" if most == 1 else f"{most} {noun}s"
    return _failure(
        "too many",
        f"The model's server takes at most {count} in a conversation. Send fewer, or clear the chat.",
        f"{how};{start}",
    )


def _too_large(server: Server, lower: str, said: str, reason: str, sent: frozenset[str]) -> ServerFailure | None:
    if not any(phrase in lower for phrase in _TOO_LARGE) and not said.startswith("413"):
        return None
    return _failure(
        "too large",
        "This is larger than the model's server takes at once. Lower the most tokens a picture in the settings, or "
        "send fewer pictures or frames.",
        f"{server.shown} refuses a request of this size ({said}); start vLLM with a larger --max-num-batched-tokens "
        "for its encoder, or let the proxy before it pass larger bodies.",
    )


def _too_long(server: Server, lower: str, said: str, reason: str, sent: frozenset[str]) -> ServerFailure | None:
    if not any(phrase in lower for phrase in _TOO_LONG):
        return None
    return _failure(
        "too long",
        f"The conversation is too long for the model's server: {for_visitors(reason)}. Clear the chat, lower the most "
        "tokens a picture, or ask for a shorter answer.",
        f"The conversation is too long for {server.model} on {server.shown} ({said}); lower max_pixels or the length "
        "of the answer, or start the server with a longer context, as in docs/servers.md.",
    )


def _no_pictures(server: Server, lower: str, said: str, reason: str, sent: frozenset[str]) -> ServerFailure | None:
    if "image_url" not in sent or not any(phrase in lower for phrase in _NO_PICTURES):
        return None
    return _failure(
        "no pictures",
        "The model on the server takes no pictures. Ask without.",
        f"{server.model} on {server.shown} takes no pictures ({said}); serve a model that sees, and with llama.cpp or "
        "LM Studio its mmproj file, as in docs/servers.md.",
    )


def _no_video(server: Server, lower: str, said: str, reason: str, sent: frozenset[str]) -> ServerFailure | None:
    if "video_url" not in sent or not any(phrase in lower for phrase in _NO_VIDEO):
        return None
    return _failure(
        "no video",
        "The model's server does not take video. Send pictures of the clip instead.",
        f"{server.shown} does not take video ({said}); vLLM and SGLang do.",
    )


def _memory(server: Server, lower: str, said: str, reason: str, sent: frozenset[str]) -> ServerFailure | None:
    if not any(phrase in lower for phrase in _MEMORY):
        return None
    return _failure(
        "memory",
        "The model's server ran out of memory. Lower the most tokens a picture in the settings, or send fewer "
        "pictures or frames.",
        f"{server.shown} ran out of memory ({said}); give it less at once, or start it with a shorter context.",
    )


def _is_missing_model(status: int, lower: str) -> bool:
    if status not in (400, 404, 422):
        return False
    return "model" in lower and any(phrase in lower for phrase in _NO_MODEL)


def _sent(body: Mapping[str, Any] | None) -> frozenset[str]:
    """The types of the parts of a request: "text", "image_url", "video_url"."""
    contents = [message.get("content") for message in (body or {}).get("messages", ())]
    return frozenset(part.get("type", "") for content in contents if isinstance(content, list) for part in content)


def _find_reason(answer: Any, depth: int) -> str:
    if isinstance(answer, str):
        return "" if answer.lstrip().startswith("<") else answer  # a proxy's page
    if isinstance(answer, list):
        found = (_find_reason(item, depth - 1) for item in answer[:8]) if depth else ()
        return "; ".join(filter(None, found))
    if isinstance(answer, dict):
        if isinstance(answer.get("loc"), list) and isinstance(answer.get("msg"), str):  # pydantic; `input` is ours
            return f"{'.'.join(map(str, answer['loc'][:8]))}: {answer['msg']}"
        for key in ("error", "message", "msg", "detail", "errors", "reason"):
            if depth and (text := _find_reason(answer.get(key), depth - 1)):
                return text
    return ""


def _code(answer: Any) -> str:
    """The code and the type that OpenAI-compatible servers give an error beside its message."""
    if isinstance(answer, list) and answer:
        answer = answer[0]
    error = answer.get("error", answer) if isinstance(answer, dict) else None
    return f"{error.get('code')} {error.get('type')}"[:200] if isinstance(error, dict) else ""


def _refused(error: BaseException | None) -> bool:
    """Whether a connection was refused, which httpx tells only by the exceptions that led to its own."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        if isinstance(error, BaseExceptionGroup):  # a name with several addresses
            return all(_refused(each) for each in error.exceptions)
        error = error.__cause__ or error.__context__
    return False
