"""The first reader of every request (ASGI): what the page does not use is not there, and what it uses has limits.

Gradio serves more than this page needs (it fetches public addresses for a visitor, and converts recordings), takes a
body of any size, and ends in a traceback where an argument has another type than the page would send.
"""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import format_bytes
from qwen2vl_demo.ui.gate.calls import Calls
from qwen2vl_demo.ui.gate.logins import Logins
from qwen2vl_demo.ui.gate.uploads import Uploads

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_CALL = 8 * 2**20  # bytes of a call; the largest part of it is the chat that the browser kept
MAX_FORM = 16 * 2**10  # bytes of a login
IN_PLACE = 64 * 2**10  # bytes of a call that is read without a thread of its own
API = "/gradio_api"
FILE, UPLOAD = f"{API}/file=", f"{API}/upload"
CALLS = (f"{API}/run/", f"{API}/api/", f"{API}/call/", f"{API}/queue/join")
USED = (
    *("/assets/", "/static/", "/svelte/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json"),
    *("/login", "/logout"),
    *(f"{API}/{name}" for name in ("run/", "api/", "call/", "queue/", "cancel", "reset", "heartbeat/", "upload")),
    *(f"{API}/{name}" for name in ("file=", "info", "openapi.json", "app_id", "user", "login_check", "theme.css")),
    *(f"{API}/startup-events",),
)
MCP = f"{API}/mcp"  # used where `GateRules.mcp` says so
NOT_USED = (f"{API}/call/v2/", f"{API}/file=http:", f"{API}/file=https:")
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_ROOM = "The disk of this server is full, so the file was not kept. Nothing else is lost; try again later."


@dataclass(frozen=True, eq=False)
class GateRules:
    """What the gate asks; one of each for a page."""

    calls: Calls
    uploads: Uploads
    logins: Logins
    names: Mapping[str, str]  # of folders whose files the page shows from the start: what visitors see in place of them
    mcp: bool = False  # whether there is an MCP server


class Gate:
    """Wraps an ASGI app."""

    def __init__(self, app: App, rules: GateRules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        try:
            mcp = self._rules.mcp and path.rstrip("/") == MCP
            if not mcp and not _is_used(path):
                raise Refused(404, "This page has nothing at that address.")
            if path.rstrip("/") == "/logout" and _header(scope, b"sec-fetch-dest") not in ("", "document"):
                raise Refused(403, "Only a visitor can log out, and no picture can.")
            if mcp:
                body = await _body(receive, MAX_CALL)
                await self._app(_with_length(scope, len(body)), _replay(body, receive), send)
            elif path.startswith(CALLS):
                await self._call(scope, receive, send, path)
            elif path.rstrip("/") == UPLOAD:
                await self._upload(scope, receive, send)
            elif path.rstrip("/") == "/login" and scope["method"] == "POST":
                await self._login(scope, receive, send)
            elif path in ("", "/") or path.rstrip("/") == "/config":
                await self._app(scope, receive, _Renaming(send, self._rules.names))
            elif path.startswith(FILE):
                await self._app(_renamed_back(scope, self._rules.names), receive, send)
            else:
                await self._app(scope, receive, send)
        except Refused as refused:
            # The page shows the whole body of what its upload was answered, and one value of what a call was.
            await _answer(send, refused.status, str(refused), plain=path.rstrip("/") == UPLOAD)

    async def _call(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        """Gradio gets a call whose arguments were checked."""
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await _body(receive, MAX_CALL)
        check = self._rules.calls.checked
        try:
            checked = check(path, body) if len(body) <= IN_PLACE else await asyncio.to_thread(check, path, body)
        except UserError as wrong:
            raise Refused(422, str(wrong)) from None
        await self._app(_with_length(scope, len(checked)), _replay(checked, receive), send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A file is kept if its visitor, and the disk, have room for it."""
        length, visitor = _header(scope, b"content-length"), visitor_of(scope)
        if not length.isdecimal():
            raise Refused(411, "An upload must say how long it is.")
        answered: list[bytes] = []
        started = False

        async def listening(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.body":
                answered.append(message.get("body", b""))
                if not message.get("more_body", False):
                    self._rules.uploads.kept(visitor, _strings(b"".join(answered)))
            await send(message)

        try:
            with self._rules.uploads.arriving(visitor, int(length)):
                await self._app(scope, receive, listening)
        except UserError as full:
            raise Refused(413, str(full)) from None
        except OSError as problem:
            if started or problem.errno not in DISK_FULL:
                raise
            raise Refused(507, NO_ROOM) from None

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        """After wrong passwords an address, and a name from there, have to wait; nobody else does."""
        body = await _body(receive, MAX_FORM)
        name, address = await _field(scope, body, "username"), address_of(scope)
        wait = self._rules.logins.wait(address, name)
        if wait > 0:
            seconds = f"{wait:.0f} second" + ("s" if round(wait) != 1 else "")
            raise Refused(429, f"Too many wrong passwords. Wait {seconds} and try again.")

        async def listening(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._rules.logins.tried(address, name, right=message["status"] < 400)
            await send(message)

        await self._app(_with_length(scope, len(body)), _replay(body, receive), listening)


class _Renaming:
    """Sends a short response with other names for folders of this machine."""

    def __init__(self, send: Send, names: Mapping[str, str]) -> None:
        self._send, self._names = send, names
        self._start: Message = {}
        self._pieces: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._pieces.append(message.get("body", b""))
        if message.get("more_body", False):
            return
        body = b"".join(self._pieces)
        for folder, name in self._names.items():
            body = body.replace(folder.encode(), name.encode())
        given = [(key, value) for key, value in self._start["headers"] if key != b"content-length"]
        length = [(b"content-length", str(len(body)).encode())] if len(given) < len(self._start["headers"]) else []
        await self._send({**self._start, "headers": [*given, *length]})
        await self._send({"type": "http.response.body", "body": body})


def _renamed_back(scope: Scope, names: Mapping[str, str]) -> Scope:
    path = scope["path"]
    for folder, name in names.items():
        path = path.replace(FILE + name + "/", FILE + folder + "/")
    return {**scope, "path": path, "raw_path": quote(path).encode()} if path != scope["path"] else scope


class Refused(Exception):
    """A request that Gradio never sees, with the status and the sentence that answer it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


async def _field(scope: Scope, body: bytes, name: str) -> str:
    """A field of a form; "" if there is none."""
    try:
        value = (await Request(scope, _replay(body, _nothing)).form(max_files=0, max_fields=8)).get(name)
    except (HTTPException, MultiPartException, ValueError):
        return ""
    return value.strip() if isinstance(value, str) else ""


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def visitor_of(scope: Scope) -> str:
    """Whom uploads are counted for: the address, as there is no session yet."""
    return address_of(scope)


def address_of(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _is_used(path: str) -> bool:
    return path in ("", "/") or (path.startswith(USED) and not path.lower().startswith(NOT_USED))


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _with_length(scope: Scope, length: int) -> Scope:
    headers = [(key, value) for key, value in scope["headers"] if key not in (b"content-length", b"transfer-encoding")]
    return {**scope, "headers": [*headers, (b"content-length", str(length).encode())]}


async def _body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises Refused above `limit` bytes."""
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "The request ended too early.")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        more = message.get("more_body", False)
        if size > limit:
            raise Refused(413, f"This is larger than the {format_bytes(limit)} that the page sends.")
    return b"".join(pieces)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hands the body out once, and then whatever else comes."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again


async def _answer(send: Send, status: int, sentence: str, *, plain: bool) -> None:
    body = sentence.encode() if plain else json.dumps({"detail": sentence, "error": sentence}).encode()
    kind = b"text/plain; charset=utf-8" if plain else b"application/json"
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _strings(body: bytes) -> list[str]:
    try:
        found = json.loads(body)
    except ValueError:
        return []
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []
