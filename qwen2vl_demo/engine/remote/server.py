"""HTTP with an OpenAI-compatible server: finding its models, one streamed request, and what its failures mean.

Every failure is a UserError that names the flag to change.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from httpx_sse import EventSource

from qwen2vl_demo.engine.remote.dialect import refused_fields
from qwen2vl_demo.errors import UserError

CONNECT_SECONDS = 10.0  # to connect, and to list the models
WRITE_SECONDS = 60.0  # during which the server may accept none of the request
POLL_SECONDS = 0.05  # how soon a cancellation is noticed

# `owned_by` of the entries of /models, by which servers give away what they are.
SOFTWARE = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "llamacpp": "llama.cpp",
    "library": "Ollama",
    "organization_owner": "LM Studio",
}

_TOO_LONG = ("context length", "context_length", "max_model_len", "too long", "maximum length", "longer than")


@dataclass(frozen=True)
class Server:
    """A server: its address, its model, and what it accepts."""

    url: str  # the base, in front of /chat/completions; usually ends in /v1
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 300.0  # seconds without any data from the server
    software: str = ""  # what it is: "vLLM", "SGLang", "llama.cpp", "Ollama", "LM Studio"; "" where that is unknown
    context_length: int | None = None  # positions; None if the server does not tell
    # The trusted certificates. Reading them takes a tenth of a second, so they are kept for all requests.
    certificates: ssl.SSLContext = field(default_factory=httpx.create_ssl_context, repr=False, compare=False)

    @property
    def shown(self) -> str:
        """The address without a password that it may contain, for messages."""
        return _shown(self.url)


class Exchange:
    """One request and its stream of events, on a thread of its own, so that it can be closed at any moment."""

    def __init__(self, server: Server, body: dict[str, Any]) -> None:
        self._server = server
        self._body = body
        self._items: queue.SimpleQueue[str | Exception | None] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._request())
        self._thread = threading.Thread(target=self._run, name="remote-engine", daemon=True)
        self._thread.start()

    def events(self, cancel: threading.Event | None) -> Iterator[str]:
        """Yields the data of each event until the server ends the stream or `cancel` is set. Raises UserError."""
        while cancel is None or not cancel.is_set():
            try:
                item = self._items.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self) -> None:
        """Closes the connection at any point of the exchange, upon which servers stop generating."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, since the exchange has ended
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._task)
        except Exception as error:
            self._items.put(error)
        finally:
            self._items.put(None)
            self._loop.close()

    async def _request(self) -> None:
        server = self._server
        timeout = httpx.Timeout(server.timeout, connect=CONNECT_SECONDS, write=WRITE_SECONDS)
        try:
            async with (
                httpx.AsyncClient(timeout=timeout, **_client_options(server)) as client,
                client.stream("POST", f"{server.url}/chat/completions", json=self._body) as response,
            ):
                if response.status_code != 200:
                    raise refusal(server, response.status_code, _json(await response.aread()), self._body)
                kind = response.headers.get("content-type", "")
                if not kind.startswith("text/event-stream"):
                    raise UserError(
                        f"{server.shown} answered with {kind or 'nothing'} and not with a stream of events; "
                        "give the address of an OpenAI-compatible server with --engine-url."
                    )
                async for data in event_data(response):
                    self._items.put(data)
        except httpx.HTTPError as error:
            raise _unreachable(server, error) from None


async def event_data(response: httpx.Response) -> AsyncIterator[str]:
    """Yields the data of each server-sent event that has any."""
    response.encoding = "utf-8-sig"  # the encoding of every event stream; a byte order mark is dropped
    async for event in EventSource(response).aiter_sse():
        if event.data:
            yield event.data


class UnknownFields(Exception):
    """The server refuses fields of the request because it does not know them."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


def discover(server: Server) -> Server:
    """The server with its model, its capabilities and its context length filled in. Raises UserError."""
    try:
        response = httpx.get(f"{server.url}/models", timeout=CONNECT_SECONDS, **_client_options(server))
    except httpx.InvalidURL as error:
        raise UserError(f"{server.shown} is no address ({error}); correct --engine-url.") from None
    except httpx.HTTPError as error:
        raise _unreachable(server, error) from None
    if response.status_code in (401, 403):
        raise refusal(server, response.status_code, {})
    listed = _json(response.content).get("data") if response.status_code == 200 else None
    cards = {card["id"]: card for card in listed or [] if isinstance(card, dict) and "id" in card}
    if server.model and server.model not in cards and cards:
        raise _no_model(server, list(cards))
    if not server.model and len(cards) != 1:
        served = f"serves {', '.join(sorted(cards))}" if cards else "does not say which models it serves"
        raise UserError(f"{server.shown} {served}; choose one with --engine-model.")
    model = server.model or next(iter(cards))
    card = cards.get(model, {})
    length = card.get("max_model_len")
    return replace(
        server,
        model=model,
        software=SOFTWARE.get(str(card.get("owned_by")), ""),
        context_length=length if isinstance(length, int) else None,
    )


def base_url(url: str) -> str:
    """The base URL: `http://host:8000` and `.../v1/chat/completions` both mean `.../v1`."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _client_options(server: Server) -> dict[str, Any]:
    """Arguments of every httpx client. A proxy from the environment is never used for this machine itself."""
    headers = {"Authorization": f"Bearer {server.key}"} if server.key else {}
    local = urlsplit(server.url).hostname in ("localhost", "127.0.0.1", "::1")
    return {"headers": headers, "trust_env": not local, "verify": server.certificates}


def _json(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {"message": content.decode("utf-8", "replace").strip()[:300]}
    return found if isinstance(found, dict) else {}


def _message(answer: dict[str, Any]) -> str:
    """The server's message: nested in OpenAI's form, either form in vLLM and SGLang, `detail` in FastAPI."""
    error = answer.get("error", answer)
    text = error.get("message") or error.get("detail") if isinstance(error, dict) else error
    return " ".join(str(text or "it gave no reason").split())[:300].rstrip(".")


def refusal(
    server: Server, status: int, answer: dict[str, Any], body: dict[str, Any] | None = None
) -> UserError | UnknownFields:
    """The exception for a response with a status other than 200."""
    message = _message(answer)
    lower = message.lower()
    if status in (401, 403):
        return UserError(
            f"{server.shown} refuses the key ({status}); set the right one with --engine-key or QWEN2VL_ENGINE_KEY."
        )
    if status == 404:
        if "model" in lower:
            return _no_model(server, [])
        return UserError(
            f"{server.shown} has no /chat/completions (404); correct --engine-url, which usually ends in /v1."
        )
    if status in (400, 422):
        if body is not None and (unknown := refused_fields(body, message)):
            return UnknownFields(unknown)
        if any(phrase in lower for phrase in _TOO_LONG):
            return UserError(
                f"The conversation is too long for {server.model} on {server.shown} ({message}); "
                "clear it, or lower max_pixels or the length of the answer."
            )
    if status == 413:
        return UserError(f"{server.shown} refuses a request of this size (413); send fewer or smaller pictures.")
    if status == 429:
        return UserError(f"{server.shown} is busy (429: {message}); ask again in a moment.")
    if status >= 500:
        return UserError(f"{server.shown} failed ({status}: {message}); look at that server's log, then ask again.")
    return UserError(
        f"{server.shown} refuses the request ({status}: {message}); check --engine-url and --engine-model."
    )


def _no_model(server: Server, served: list[str]) -> UserError:
    which = f"; it serves {', '.join(sorted(served))}" if served else ""
    return UserError(f"{server.shown} has no model called {server.model!r}{which}; correct --engine-model.")


def broken(server: Server, how: str) -> UserError:
    return UserError(
        f"The connection to {server.shown} broke before the answer was finished ({how}); ask again, "
        "and if it happens again, look at the log of the server at --engine-url."
    )


def _unreachable(server: Server, error: httpx.HTTPError) -> UserError:
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        reason = "no answer" if isinstance(error, httpx.ConnectTimeout) else str(error) or "refused"
        return UserError(f"No server answers at {server.shown} ({reason}); start it, or correct --engine-url.")
    if isinstance(error, httpx.TimeoutException):
        return UserError(
            f"{server.shown} was silent for {server.timeout:g} seconds; look whether it is overloaded, "
            "or allow it more with --engine-timeout (and check --engine-url)."
        )
    return broken(server, str(error) or type(error).__name__)
