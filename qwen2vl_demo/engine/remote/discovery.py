"""Finds out what a server serves: its models, its context length and what it is.

A server that is starting is waited for: nothing listens yet, or it answers that the model is loading.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx

from qwen2vl_demo.engine.remote.exchange import MAX_REFUSAL_BYTES, parsed
from qwen2vl_demo.engine.remote.failures import ServerFailure, not_up, unreachable
from qwen2vl_demo.engine.remote.reasons import reason_of
from qwen2vl_demo.engine.remote.refusals import refusal
from qwen2vl_demo.engine.remote.server import (
    CONNECT_SECONDS,
    MAX_REDIRECTS,
    SOFTWARE,
    Server,
    Software,
    client_options,
    redirected,
)
from qwen2vl_demo.errors import UserError

LOOK_SECONDS = 5.0  # for one look at a server that answered before
AGAIN_SECONDS = 1.0  # between two looks at a server that is starting
SAY_SECONDS = 15.0  # between two lines about it
MAX_LIST_BYTES = 4 * 2**20  # of a list of models
MAX_SHOWN_MODELS = 12
_CONTEXT_KEYS = ("max_model_len", "context_length", "context_window", "max_context_length", "n_ctx")
_EMBEDDING = ("text-embedding", "embedding-")  # LM Studio always lists one


def discover(server: Server, *, say: Callable[[str], None] | None = None, wait: float | None = None) -> Server:
    """The server with its model, its software and its context length filled in.

    Waits up to `wait` seconds (None: `server.timeout`) for one that is starting, and calls `say` with a sentence about
    it now and then; by default that is printed to standard error. Raises UserError.
    """
    say = say or (lambda sentence: print(sentence, file=sys.stderr, flush=True))
    most = server.timeout if wait is None else wait
    began = said = time.monotonic()
    first = True
    while True:
        try:
            return look(server)
        except ServerFailure as failure:
            now = time.monotonic()
            if failure.cause not in ("not up", "loading") or now - began + AGAIN_SECONDS > most:
                raise
            if first or now - said >= SAY_SECONDS:
                what = "is loading its model" if failure.cause == "loading" else "does not answer yet"
                left = most - (now - began)
                say(f"{server.shown} {what}; waiting for it, at most {left:.0f} s (--engine-timeout).")
                first, said = False, now
            time.sleep(AGAIN_SECONDS)


def look(server: Server, seconds: float = CONNECT_SECONDS) -> Server:
    """`discover` without waiting: one look, which takes at most about `seconds`. A `model` that is given but not listed
    is kept, since not every server lists what it can load."""
    timeout = httpx.Timeout(seconds)
    try:
        with httpx.Client(timeout=timeout, **client_options(server)) as client:
            status, answer, url = _get(client, f"{server.url}/models", seconds)
            server = replace(server, url=url.removesuffix("/models") if url.endswith("/models") else server.url)
            if status in (401, 403) or 300 <= status < 400:
                raise refusal(server, status, answer)
            if status in (502, 503, 504):
                reason = reason_of(answer, server)
                loading = "loading" in reason.lower() or "starting" in reason.lower()
                raise not_up(server, f"{status}: {reason}" if reason else str(status), loading=loading)
            cards = _cards(answer) if status == 200 else {}
            server = replace(server, listed=tuple(sorted(cards))[:MAX_SHOWN_MODELS])
            model = server.model or _only(cards)
            if model is None:
                raise UserError(_no_choice(server, cards, status))
            card = cards.get(model, {})
            software = SOFTWARE.get(str(card.get("owned_by")), "") or _software_by_paths(client, server)
            server = replace(server, model=model, software=software)
            return replace(server, context_length=_context_length(client, server, card))
    except httpx.InvalidURL as error:
        raise UserError(f"{server.shown} is no address ({error}); correct --engine-url.") from None
    except (httpx.HTTPError, ValueError, ImportError) as error:  # the last two: a proxy of the environment
        raise unreachable(server, error, seconds) from None


def _get(client: httpx.Client, url: str, seconds: float) -> tuple[int, Any, str]:
    """The status and the parsed body of a GET, and where it was found in the end."""
    deadline = time.monotonic() + seconds
    for _ in range(MAX_REDIRECTS + 1):
        with client.stream("GET", url) as response:
            if (elsewhere := redirected(url, response)) is not None:
                url = elsewhere
                continue
            if response.is_redirect:
                return response.status_code, f"to {response.headers.get('location')}", url
            most = MAX_LIST_BYTES if response.status_code == 200 else MAX_REFUSAL_BYTES
            content = bytearray()
            for piece in response.iter_bytes():
                content += piece
                if len(content) > most or time.monotonic() > deadline:
                    break
            return response.status_code, parsed(bytes(content[:most])), url
    return 310, "too many redirects", url


def _cards(answer: Any) -> dict[str, dict[str, Any]]:
    """The entries of a list of models by id: `data` in OpenAI's form, `models` or a bare list elsewhere."""
    listed = answer.get("data", answer.get("models")) if isinstance(answer, dict) else answer
    cards: dict[str, dict[str, Any]] = {}
    for card in listed if isinstance(listed, list) else []:
        name = card.get("id", card.get("name")) if isinstance(card, dict) else None
        if isinstance(name, str) and name:
            cards[name] = card
    return cards


def _only(cards: dict[str, dict[str, Any]]) -> str | None:
    """The only model that can answer; None if there is a choice, or none."""
    names = [name for name in cards if not name.startswith(_EMBEDDING)]
    return names[0] if len(names) == 1 else None


def _no_choice(server: Server, cards: dict[str, dict[str, Any]], status: int) -> str:
    if not cards:
        failed = "" if status == 200 else f" (it answers /models with {status})"
        served = f"does not say which models it serves{failed}"
    else:
        more = f" and {len(cards) - MAX_SHOWN_MODELS} more" if len(cards) > MAX_SHOWN_MODELS else ""
        served = f"serves {', '.join(server.listed)}{more}"
    return f"{server.shown} {served}; choose one with --engine-model."


def _context_length(client: httpx.Client, server: Server, card: dict[str, Any]) -> int | None:
    """The positions that the server has for a conversation; None if it does not tell."""
    records = [card]
    if server.software == "llama.cpp":  # the list of models has what the model was trained for, not what is reserved
        props = _record(client, f"{server.root}/props")
        records = [props.get("default_generation_settings", {}), props]
    elif server.software == "LM Studio":
        found = _record(client, f"{server.root}/api/v0/models/{server.model}")
        records = [{"n_ctx": found.get("loaded_context_length")}, found]
    for record in records:
        for key in _CONTEXT_KEYS:
            value = record.get(key) if isinstance(record, dict) else None
            if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40:
                return value
    return None


def _software_by_paths(client: httpx.Client, server: Server) -> Software:
    """transformers serve calls itself nothing, but describes its paths as FastAPI does."""
    paths = _record(client, f"{server.root}/openapi.json").get("paths")
    return "transformers" if isinstance(paths, dict) and "/load_model" in paths and "/v1/responses" in paths else ""


def _record(client: httpx.Client, url: str) -> dict[str, Any]:
    try:
        status, answer, _ = _get(client, url, LOOK_SECONDS)
    except httpx.HTTPError:
        return {}
    return answer if status == 200 and isinstance(answer, dict) else {}
