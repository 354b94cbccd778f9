"""One request of a chat completion and its stream of events, on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from qwen2vl_demo.engine.remote.event_stream import MAX_BYTES, Event, EventReader, TooLong
from qwen2vl_demo.engine.remote.failures import no_completion, too_much, unreachable
from qwen2vl_demo.engine.remote.refusals import refusal
from qwen2vl_demo.engine.remote.server import (
    CONNECT_SECONDS,
    MAX_REDIRECTS,
    WRITE_SECONDS,
    Server,
    client_options,
    redirected,
)
from qwen2vl_demo.memory import format_bytes

POLL_SECONDS = 0.05  # how soon a cancellation is noticed
MAX_REFUSAL_BYTES = 64 * 2**10  # of a response that is an error
MAX_WAITING_EVENTS = 2000  # that nobody has read yet; then the server is read no further


class Exchange:
    """A request that can be closed at any moment. Starts at once."""

    def __init__(self, server: Server, body: Mapping[str, Any]) -> None:
        self._server = server
        self._body = body
        self._items: queue.SimpleQueue[Event | Exception | None] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._request())
        self._thread = threading.Thread(target=self._run, name="remote-engine", daemon=True)
        self._thread.start()

    def events(self, cancel: threading.Event | None) -> Iterator[Event]:
        """Yields each event until the server ends the stream or `cancel` is set. An answer that is one JSON object and
        no stream is one event. Raises ServerFailure, and UnknownFields."""
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
        # A lone surrogate, which JSON may hold and UTF-8 may not, becomes a question mark.
        content = json.dumps(self._body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        timeout = httpx.Timeout(server.timeout, connect=CONNECT_SECONDS, write=WRITE_SECONDS)
        url = f"{server.url}/chat/completions"
        try:
            async with httpx.AsyncClient(timeout=timeout, **client_options(server)) as client:
                for _ in range(MAX_REDIRECTS + 1):
                    headers = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}
                    async with client.stream("POST", url, content=content, headers=headers) as response:
                        if (elsewhere := redirected(url, response)) is not None:
                            url = elsewhere
                            continue
                        await self._read(response)
                        return
                raise refusal(server, response.status_code, "too many redirects")
        # ValueError and ImportError: a proxy of the environment that httpx cannot use.
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, ImportError) as error:
            raise unreachable(server, error) from None
        except TooLong:
            raise too_much(server, f"a line of more than {format_bytes(MAX_BYTES)}") from None

    async def _read(self, response: httpx.Response) -> None:
        """Puts the events of a response into the queue. Raises for one that is no answer."""
        server, kind = self._server, response.headers.get("content-type", "").partition(";")[0].strip()
        if response.status_code != 200:
            answer = parsed(await _start(response, MAX_REFUSAL_BYTES))
            where = response.headers.get("location")
            if where and response.is_redirect:
                answer = f"to {where}"
            raise refusal(server, response.status_code, answer, self._body)
        reader, whole = EventReader(), bytearray()
        is_json: bool | None = False if kind == "text/event-stream" else True if kind.endswith("json") else None
        events = 0
        async for piece in response.aiter_bytes():
            if is_json is None and (start := piece.lstrip()[:1]):  # some servers do not say what they send
                is_json = start in (b"{", b"[")
            if is_json:
                whole += piece
                if len(whole) > MAX_BYTES:
                    raise TooLong
                continue
            for event in reader.feed(piece):
                events += 1
                self._items.put(event)
            while self._items.qsize() > MAX_WAITING_EVENTS:
                await asyncio.sleep(POLL_SECONDS)
        for event in reader.finish():
            events += 1
            self._items.put(event)
        if whole or (not events and reader.stray.lstrip()[:1] in (b"{", b"[")):
            self._items.put(Event((bytes(whole) or reader.stray).decode("utf-8", "replace")))
        elif not events:
            raise no_completion(server, kind or reader.stray.decode("utf-8", "replace") or "nothing")


def parsed(content: bytes) -> Any:
    """Parsed JSON, or the text itself for what is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace").strip()


async def _start(response: httpx.Response, most: int) -> bytes:
    """The first bytes of a body, at most `most`."""
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) >= most:
            break
    return bytes(content[:most])
