"""The reason that a server gives for an error: where it is in the body, and what of it visitors may read."""

from __future__ import annotations

import re
from typing import Any

from qwen2vl_demo.engine.remote.server import Server

MAX_REASON = 300  # characters of a server's reason that are shown
MAX_WHOLE_REASON = 4000  # that are searched for what they mean
MAX_DEPTH = 6  # at which a reason is looked for in nested JSON

_ADDRESSES = re.compile(r"\w{2,10}://\S+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b")
_PATHS = re.compile(r"(?<![\w/])(?:~|[A-Za-z]:)?[/\\](?:[\w.@+-]+[/\\])+[\w.@+-]*")


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


def code_of(answer: Any) -> str:
    """The code and the type that OpenAI-compatible servers give an error beside its message."""
    if isinstance(answer, list) and answer:
        answer = answer[0]
    error = answer.get("error", answer) if isinstance(answer, dict) else None
    return f"{error.get('code')} {error.get('type')}"[:200] if isinstance(error, dict) else ""
