"""What one visitor could do to the others: read their questions from a shared cache, or hold up the page for all."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from contextlib import suppress
from typing import Any

import httpx

from qwen2vl_demo.bench.drill.forged_chats import answered, references
from qwen2vl_demo.bench.drill.server import Server
from qwen2vl_demo.bench.drill.visitor import Page, VisitError, open_tab

SECRET = "my account number is four nine two seven and the password of my house is the name of my first dog, which was "
ROUNDS = 12


async def read_others_questions(server: Server) -> dict[str, Any]:
    """Asks what another visitor has just asked, and what nobody has. Neither the tokens that the page says were reused
    nor the seconds to the first word may tell these apart. Both texts are alike but for their first word."""
    page = await _page(server)
    reused: dict[str, list[int]] = {"asked by another": [], "asked by nobody": []}
    seconds: dict[str, list[float]] = {"asked by another": [], "asked by nobody": []}
    for number in range(ROUNDS):
        known, unknown = (f"{word} {number} {SECRET * 6}" for word in ("red", "cat"))
        async with open_tab(server.url, page) as victim:
            await victim.ask(known)
            for name, text in (("asked by another", known), ("asked by nobody", unknown)):
                async with open_tab(server.url, page) as attacker:
                    await attacker.ask(text)
                    numbers = await _numbers(attacker, page)
                    reused[name].append(numbers["reused_tokens"])
                    seconds[name].append(numbers["first_token"])
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "reused_tokens": {name: max(values) for name, values in reused.items()},
        "first_token_s": {name: round(value, 4) for name, value in medians.items()},
        "holds": max(reused["asked by another"]) <= max(reused["asked by nobody"])
        and medians["asked by another"] > 0.8 * medians["asked by nobody"],
    }


async def hold_up_the_page(server: Server) -> dict[str, Any]:
    """Sends texts that took a parser seconds, and measures meanwhile how long others wait for the page."""
    page = await _page(server)
    texts = {
        "one box and 24,000 commas": answered("<|box_start|>(1,2" + "," * 24_000),
        "24,000 boxes that do not end": answered("<|box_start|>(" * 24_000),
        "100,000 backticks": answered("`a" * 50_000),
        "50,000 brackets": answered("[" * 50_000),
        "50,000 stars": answered("*a **" * 10_000),
        "quotes in quotes": answered(">" * 20_000 + "a"),
        "25,600 references": references(25_600),
        "nested 20,000 deep": "[" * 20_000,
    }
    found = {}
    for name, text in texts.items():
        stop, waits = asyncio.Event(), list[float]()
        observer = asyncio.create_task(_observe(server, stop, waits))
        async with open_tab(server.url, page) as visitor:
            with suppress(VisitError, httpx.HTTPError):  # refused
                await visitor.call("load", {"saved": text})
        stop.set()
        await observer
        found[name] = round(max(waits), 2)
    return {"page_s_most": found, "holds": max(found.values()) < 2.0}


async def _observe(server: Server, stop: asyncio.Event, waits: list[float]) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=120) as client:
        while not stop.is_set() or not waits:
            before = time.monotonic()
            await client.get("/config")
            waits.append(time.monotonic() - before)
            await asyncio.sleep(0.02)


async def _page(server: Server) -> Page:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        return await Page.read(client)


async def _numbers(visitor: Any, page: Page) -> dict[str, Any]:
    """The numbers of the last answer, as the browser keeps them with the chat."""
    values = await visitor.call("load", {"saved": ""})
    outputs = [page.components[number]["props"].get("elem_id") for number in page.functions["load"]["outputs"]]
    chat = values[outputs.index("saved")].partition("\n")[0]
    numbers: dict[str, Any] = json.loads(chat)["turns"][-1]["answer"]["numbers"]
    return numbers
