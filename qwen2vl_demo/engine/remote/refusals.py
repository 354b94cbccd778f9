"""What a response with another status than 200 means, found from its status and from the words of its reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qwen2vl_demo.engine.remote.dialect import refused_fields
from qwen2vl_demo.engine.remote.failures import OPERATOR, Cause, ServerFailure, failure, not_up, wrong_address
from qwen2vl_demo.engine.remote.reasons import MAX_WHOLE_REASON, code_of, for_visitors, reason_of
from qwen2vl_demo.engine.remote.server import Server

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


class UnknownFields(Exception):
    """The server refuses fields of the request because it does not know them."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


def refusal(
    server: Server, status: int, answer: Any, body: Mapping[str, Any] | None = None
) -> ServerFailure | UnknownFields:
    """The exception for a response with a status other than 200, or for an error event in a stream.

    `answer` is the parsed body, or its text if it is no JSON.
    """
    reason = reason_of(answer, server)
    whole = reason_of(answer, server, MAX_WHOLE_REASON)
    lower = f"{whole} {code_of(answer)}".lower()
    said = f"{status}: {reason}" if reason else f"{status}"
    if status in (401, 403):
        return _key_refused(server, said)
    if 300 <= status < 400:
        return wrong_address(server, f"it sends requests elsewhere ({said})")
    if body is not None and status < 500 and (unknown := refused_fields(body, whole)):
        return UnknownFields(unknown)
    if _is_missing_model(status, lower):
        return _no_model(server, said)
    if status in (404, 405):
        return wrong_address(server, f"it has no /chat/completions ({said}); the address usually ends in /v1")
    if status == 429:
        return _busy(server, said, lower)
    for explain in (_too_many, _too_large, _too_long, _no_video, _no_pictures, _memory):
        if (found := explain(server, lower, said, reason, _sent(body))) is not None:
            return found
    if status in (502, 503, 504):
        return not_up(server, said, loading="loading" in lower or "starting" in lower)
    quoted = f": {for_visitors(reason)}" if reason else ""
    if status >= 500:
        return failure(
            "failed", f"The model's server failed{quoted}. Ask again; if it stays so, {OPERATOR}.",
            f"{server.shown} failed ({said}); look at the log of that server.",
        )  # fmt: skip
    return failure(
        "refused", f"The model's server refuses this{quoted}. Ask in another way, or begin a new chat.",
        f"{server.shown} refuses a request for {server.model!r} ({said}); look at the log of that server.",
    )  # fmt: skip


def _key_refused(server: Server, said: str) -> ServerFailure:
    return failure(
        "key",
        f"The model's server does not let this page in. Only whoever runs the page can change that; {OPERATOR}.",
        f"{server.shown} refuses the key ({said}); set the right one with --engine-key or QWEN2VL_ENGINE_KEY.",
    )


def _no_model(server: Server, said: str) -> ServerFailure:
    served = f"; it serves {', '.join(server.listed)}" if server.listed else ""
    return failure(
        "no model",
        f"The model's server does not have the model that this page asks for. {OPERATOR[0].upper()}{OPERATOR[1:]}.",
        f"{server.shown} has no model called {server.model!r} ({said}{served}); correct --engine-model.",
    )


def _busy(server: Server, said: str, lower: str) -> ServerFailure:
    spent = "quota" in lower or "billing" in lower or "credit" in lower
    if spent:
        return failure(
            "busy", f"The model's server takes no more questions from this page for now; {OPERATOR}.",
            f"{server.shown} takes no more requests for this key ({said}); look at the account's quota.",
        )  # fmt: skip
    return failure(
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
        return failure(cause, f"The model's server takes no {noun}s. Ask without.", f"{how};{start}")
    count = f"{most} {noun}" if most == 1 else f"{most} {noun}s"
    return failure(
        "too many",
        f"The model's server takes at most {count} in a conversation. Send fewer, or begin a new chat.",
        f"{how};{start}",
    )


def _too_large(server: Server, lower: str, said: str, reason: str, sent: frozenset[str]) -> ServerFailure | None:
    if not any(phrase in lower for phrase in _TOO_LARGE) and not said.startswith("413"):
        return None
    return failure(
        "too large",
        "This is larger than the model's server takes at once. Lower the maximum of tokens per picture in the "
        "settings, or send fewer pictures or frames.",
        f"{server.shown} refuses a request of this size ({said}); start vLLM with a larger --max-num-batched-tokens "
        "for its encoder, or let the proxy before it pass larger bodies.",
    )


def _too_long(server: Server, lower: str, said: str, reason: str, sent: frozenset[str]) -> ServerFailure | None:
    if not any(phrase in lower for phrase in _TOO_LONG):
        return None
    return failure(
        "too long",
        f"The conversation is too long for the model's server: {for_visitors(reason)}. Begin a new chat, lower the "
        "maximum of tokens per picture, or ask for a shorter answer.",
        f"The conversation is too long for {server.model} on {server.shown} ({said}); lower max_pixels or the length "
        "of the answer, or start the server with a longer context, as in docs/servers.md.",
    )


def _no_pictures(server: Server, lower: str, said: str, reason: str, sent: frozenset[str]) -> ServerFailure | None:
    if "image_url" not in sent or not any(phrase in lower for phrase in _NO_PICTURES):
        return None
    return failure(
        "no pictures",
        "The model on the server takes no pictures. Ask without.",
        f"{server.model} on {server.shown} takes no pictures ({said}); serve a model that sees, and with llama.cpp or "
        "LM Studio its mmproj file, as in docs/servers.md.",
    )


def _no_video(server: Server, lower: str, said: str, reason: str, sent: frozenset[str]) -> ServerFailure | None:
    if "video_url" not in sent or not any(phrase in lower for phrase in _NO_VIDEO):
        return None
    return failure(
        "no video",
        "The model's server does not take video. Send pictures of the clip instead.",
        f"{server.shown} does not take video ({said}); vLLM and SGLang do.",
    )


def _memory(server: Server, lower: str, said: str, reason: str, sent: frozenset[str]) -> ServerFailure | None:
    if not any(phrase in lower for phrase in _MEMORY):
        return None
    return failure(
        "memory",
        "The model's server ran out of memory. Lower the maximum of tokens per picture in the settings, or send fewer "
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
