"""Many visitors at once, for minutes, with hostile ones among them: errors, seconds until the page answers, memory."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from qwen2vl_demo.bench.drill.forged_chats import answered, references
from qwen2vl_demo.bench.drill.server import Server
from qwen2vl_demo.bench.drill.visitor import Page, VisitError, Visitor, open_tab
from qwen2vl_demo.memory import TRIM_DELAY
from qwen2vl_demo.ui.forgetting import RELOAD

SAMPLE_SECONDS = 2.0  # between two requests for the page, and two readings of the memory
QUESTIONS = ("What is in it?", "How many are there?", "Where is the red one?", "Describe it.", "And now?")
LOST = ("went wrong here", "Traceback")  # in a sentence of the page: it did not expect what happened


@dataclass
class Tally:
    """What happened so far."""

    answers: int = 0
    refusals: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    page_seconds: list[float] = field(default_factory=list)
    megabytes: list[tuple[float, float]] = field(default_factory=list)  # (seconds since the start, MB)
    attacks: Counter[str] = field(default_factory=Counter)

    def holds(self) -> bool:
        """No error, the page within 2 s throughout, and at the end at most 150 MB more than after the first minute."""
        found = self.summary()
        flat = found["mb_end"] is not None and found["mb_end"] - found["mb_settled"] <= 150
        return bool(not found["errors"] and found["page_s_most"] < 2 and flat)

    def summary(self) -> dict[str, Any]:
        """Memory is given after the first minute, or a fifth of the run where that is shorter, and at the end."""
        seconds = sorted(self.page_seconds)
        duration = self.megabytes[-1][0] if self.megabytes else 0.0
        settled = next((mb for at, mb in self.megabytes if at >= min(60.0, duration / 5)), 0.0)
        return {
            "answers": self.answers,
            "refusals": self.refusals,
            "errors": sum(self.errors.values()),
            "error_kinds": dict(self.errors.most_common(5)),
            "hostile_visits": dict(self.attacks),
            "page_s_median": round(seconds[len(seconds) // 2], 3) if seconds else None,
            "page_s_most": round(seconds[-1], 3) if seconds else None,
            "mb_settled": round(settled),
            "mb_most": round(max((mb for _, mb in self.megabytes), default=0.0)),
            "mb_end": round(self.megabytes[-1][1]) if self.megabytes else None,
        }


async def drill(
    server: Server, visitors: int, hostile: int, minutes: float, files: Sequence[Path], log: Callable[[str], None]
) -> Tally:
    """Lets `visitors` come and go for `minutes`, of whom `hostile` mean harm; memory is read until what they left has
    been forgotten."""
    tally, end = Tally(), time.monotonic() + 60 * minutes
    started = time.monotonic()
    observer = asyncio.create_task(_observe(server, tally, started))
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        page = await Page.read(client)
    people = [_visits(server, page, tally, end, files, seed) for seed in range(visitors - hostile)]
    people += [_attacks(server, page, tally, end, files, seed) for seed in range(hostile)]
    await asyncio.gather(*people)
    log(f"visitors left after {time.monotonic() - started:.0f} s; resting")
    await asyncio.sleep(RELOAD + TRIM_DELAY + 20.0)
    observer.cancel()
    return tally


async def _observe(server: Server, tally: Tally, started: float) -> None:
    """Loads the page every few seconds, and reads the memory of the server."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        while True:
            before = time.monotonic()
            try:
                response = await client.get("/")
                if response.status_code != 200:
                    tally.errors[f"page {response.status_code}"] += 1
            except httpx.HTTPError as error:
                tally.errors[f"page {type(error).__name__}"] += 1
            tally.page_seconds.append(time.monotonic() - before)
            tally.megabytes.append((time.monotonic() - started, await asyncio.to_thread(server.megabytes)))
            await asyncio.sleep(SAMPLE_SECONDS)


async def _visits(server: Server, page: Page, tally: Tally, end: float, files: Sequence[Path], seed: int) -> None:
    """Tabs one after the other: files, questions, a second question, and away."""
    rng = random.Random(seed)
    await asyncio.sleep(rng.uniform(0, 5))
    while time.monotonic() < end:
        async with open_tab(server.url, page) as visitor:
            try:
                await visitor.open()
                chosen = [await visitor.upload(file) for file in rng.sample(list(files), rng.choice((0, 1, 1, 2)))]
                if chosen:
                    await visitor.look(chosen)
                for turn in range(rng.randint(1, 3)):
                    answer = await visitor.ask(rng.choice(QUESTIONS), chosen if turn == 0 else ())
                    _count(tally, visitor, answer)
                    await asyncio.sleep(rng.uniform(0.5, 3))
                if rng.random() < 0.3:
                    await visitor.call("new_chat")
            except (VisitError, httpx.HTTPError, TimeoutError) as error:
                tally.errors[f"{type(error).__name__}: {str(error)[:80]}"] += 1


def _count(tally: Tally, visitor: Visitor, answer: str) -> None:
    if any(sign in visitor.notice for sign in LOST):
        tally.errors[visitor.notice[:80]] += 1
    elif visitor.notice:
        tally.refusals += 1
    elif answer:
        tally.answers += 1
    else:
        tally.errors["an empty answer"] += 1


async def _attacks(server: Server, page: Page, tally: Tally, end: float, files: Sequence[Path], seed: int) -> None:
    """Somebody who sends what no page sends. That it is refused is fine; what it does to others is observed."""
    rng = random.Random(1000 + seed)
    attacks: dict[str, Callable[[Visitor], Any]] = {
        "leaves in mid-answer": lambda v: _leaves(v, files[0]),
        "forged chat of 3 MB": lambda v: v.call("load", {"saved": answered("x" * 3_000_000)}),
        "forged chat with 25,600 references": lambda v: v.call("load", {"saved": references(25_600)}),
        "one box and 24,000 commas": lambda v: v.call("load", {"saved": answered("<|box_start|>(1,2" + "," * 24_000)}),
        "100,000 backticks": lambda v: v.call("load", {"saved": answered("`a" * 50_000)}),
        "arguments of other types": lambda v: v.call("begin", data=[["odd"], {"n": 1}]),
        "a question of 1 MB": lambda v: v.ask("word " * 200_000),
        "a file that is none": lambda v: _bytes(v, rng.randbytes(200_000)),
    }
    while time.monotonic() < end:
        name = rng.choice(list(attacks))
        async with open_tab(server.url, page) as visitor:
            with suppress(VisitError, httpx.HTTPError, TimeoutError):  # refused
                await attacks[name](visitor)
        tally.attacks[name] += 1
        await asyncio.sleep(rng.uniform(1, 4))


async def _leaves(visitor: Visitor, file: Path) -> None:
    await visitor.begin("Describe it in detail.", [await visitor.upload(file)])
    answering = asyncio.create_task(visitor.queued("respond"))
    await asyncio.sleep(0.5)
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)


async def _bytes(visitor: Visitor, content: bytes) -> None:
    files = {"files": ("photo.jpg", content)}
    response = await visitor.client.post("/gradio_api/upload", files=files)
    await visitor.ask("What is it?", [{"path": response.json()[0], "meta": {"_type": "gradio.FileData"}}])
