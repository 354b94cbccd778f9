"""A visitor without a browser: it calls the page's events over HTTP, as Gradio's own client does."""

from __future__ import annotations

import asyncio
import html
import json
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

PREFIX = "/gradio_api"
ALERT = re.compile(r'<p role=\\"alert\\">([^<]*)</p>')
SECONDS = 180.0  # the longest that a visitor waits for an answer


class VisitError(Exception):
    """The page answered with an error, or not at all."""


@dataclass(frozen=True)
class Page:
    """What the page offers, as its /config tells."""

    functions: dict[str, dict[str, Any]]  # by name
    components: dict[int, dict[str, Any]]

    @classmethod
    async def read(cls, client: httpx.AsyncClient) -> Page:
        config = (await client.get("/config")).json()
        return cls(
            {function["api_name"]: function for function in config["dependencies"]},
            {component["id"]: component for component in config["components"]},
        )

    def data(self, name: str, given: dict[str, Any]) -> list[Any]:
        """The arguments of a function: `given` by the component's elem_id, the rest as the page has them."""
        properties = [self.components[number]["props"] for number in self.functions[name]["inputs"]]
        return [given.get(known.get("elem_id"), known.get("value")) for known in properties]


@dataclass
class Visitor:
    """One tab. The client belongs to it alone, since closing the tab closes its connections."""

    client: httpx.AsyncClient
    page: Page
    session: str = field(default_factory=lambda: secrets.token_hex(6))
    chat: str = ""  # the saved chat, as the browser keeps it
    notice: str = ""  # the last sentence that the page said beside the chat

    async def call(self, name: str, given: dict[str, Any] | None = None, data: list[Any] | None = None) -> list[Any]:
        """An event beside the queue; returns the new values. Raises VisitError."""
        body = self._body(name, self.page.data(name, given or {}) if data is None else data)
        response = await self.client.post(f"{PREFIX}/run/{name}", json=body)
        if response.status_code != 200:
            raise VisitError(f"{name}: {response.status_code} {response.text[:200]}")
        self._listen(response.text)
        return list(response.json()["data"])

    async def queued(self, name: str, given: dict[str, Any] | None = None, data: list[Any] | None = None) -> list[Any]:
        """An event of the queue, to its end; returns the values of its last message. Raises VisitError."""
        body = self._body(name, self.page.data(name, given or {}) if data is None else data)
        response = await self.client.post(f"{PREFIX}/queue/join", json=body)
        if response.status_code != 200:
            raise VisitError(f"{name}: {response.status_code} {response.text[:200]}")
        event = response.json()["event_id"]
        async with self.client.stream("GET", f"{PREFIX}/queue/data", params={"session_hash": self.session}) as stream:
            async for line in stream.aiter_lines():
                self._listen(line)
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("msg") == "unexpected_error":
                    raise VisitError(f"{name}: {message.get('message')}")
                if message.get("msg") == "process_completed" and message.get("event_id") == event:
                    if not message["success"]:
                        raise VisitError(f"{name}: {json.dumps(message['output'])[:200]}")
                    return list(message["output"].get("data") or [])
        raise VisitError(f"{name}: the stream ended before the event did")

    async def upload(self, path: Path, name: str = "") -> dict[str, Any]:
        """Returns what the composer holds for the file."""
        files = {"files": (name or path.name, await asyncio.to_thread(path.read_bytes))}
        response = await self.client.post(f"{PREFIX}/upload", files=files)
        if response.status_code != 200:
            raise VisitError(f"upload: {response.status_code} {response.text[:200]}")
        return {"path": response.json()[0], "orig_name": name or path.name, "meta": {"_type": "gradio.FileData"}}

    async def open(self) -> list[dict[str, Any]]:
        """Loads the page with the chat that the browser kept; returns the messages that are shown."""
        return self._messages("load", await self.call("load", self._saved()))

    async def ask(self, text: str, files: Sequence[dict[str, Any]] = ()) -> str:
        """A question with its files; returns the answer, or the sentence that the page says instead of one."""
        self.notice = ""
        await self.begin(text, files)
        await asyncio.wait_for(self.queued("respond"), SECONDS)
        await self.call("finish")
        return self.notice or await self.last_answer()

    async def begin(self, text: str, files: Sequence[dict[str, Any]] = ()) -> None:
        composer = {"composer": {"text": text, "files": list(files)}}
        await self.call("begin", composer | self._saved())

    async def look(self, files: Sequence[dict[str, Any]]) -> None:
        """What the page does when files are attached: the panel shows them."""
        await self.queued("refresh", {"composer": {"text": "", "files": list(files)}} | self._saved())

    async def last_answer(self) -> str:
        """The text of the last message of the chat if that is an answer, else an empty string."""
        messages = await self.open()
        if messages and messages[-1]["role"] == "assistant":
            return " ".join(part.get("text", "") for part in messages[-1]["content"])
        return ""

    def _saved(self) -> dict[str, Any]:
        return {"saved": self.chat}

    def _body(self, name: str, data: list[Any]) -> dict[str, Any]:
        number = self.page.functions[name]["id"]
        return {
            "data": data,
            "fn_index": number,
            "session_hash": self.session,
            "event_data": None,
            "trigger_id": None,
        }

    def _listen(self, line: str) -> None:
        if found := ALERT.findall(line):
            self.notice = html.unescape(found[-1])

    def _messages(self, name: str, values: list[Any]) -> list[dict[str, Any]]:
        outputs = self.page.functions[name]["outputs"]
        for number, value in zip(outputs, values, strict=True):
            if self.page.components[number]["type"] == "chatbot" and isinstance(value, list):
                return value
        return []


@asynccontextmanager
async def open_tab(url: str, page: Page) -> AsyncIterator[Visitor]:
    """A visitor whose tab is open as long as the context: the server learns from its heartbeat when it closes."""
    async with httpx.AsyncClient(base_url=url, timeout=SECONDS) as client:
        visitor = Visitor(client, page)
        heart = asyncio.create_task(_beat(visitor))
        try:
            yield visitor
        finally:
            heart.cancel()
            await asyncio.gather(heart, return_exceptions=True)


async def _beat(visitor: Visitor) -> None:
    async with visitor.client.stream("GET", f"{PREFIX}/heartbeat/{visitor.session}", timeout=None) as stream:
        async for _ in stream.aiter_lines():
            pass
