"""What happens to a visitor when the machine, the process or a model server fails, and what is kept.

Each fault starts a page of its own, brings it about in the middle of an answer and returns what was seen. `holds` says
whether that is what docs/security.md promises.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from qwen2vl_demo.bench.drill.server import Server
from qwen2vl_demo.bench.drill.visitor import Page, VisitError, Visitor, open_tab
from qwen2vl_demo.bench.model_server import MODEL, ModelServer
from qwen2vl_demo.bench.process_tree import alive
from qwen2vl_demo.ui.workspace import MEDIA

CLOSED_SECONDS = 90.0  # after which nothing of a closed tab is left
QUESTION = "Describe it in detail."
Report = dict[str, Any]


async def all_faults(picture: Path) -> dict[str, Report]:
    """Every fault in turn, by name."""
    drills: dict[str, Callable[[Path], Awaitable[Report]]] = {
        "SIGTERM in mid-answer": lambda p: _signalled(p, signal.SIGTERM),
        "SIGINT in mid-answer": lambda p: _signalled(p, signal.SIGINT),
        "SIGKILL in mid-answer": _killed,
        "a tab closed in mid-answer": _closed_tab,
        "the workers that decode are killed": _workers_killed,
        "a full disk": _full_disk,
        "a model server that hangs": _hanging_server,
    }
    return {name: await _reported(drill(picture)) for name, drill in drills.items()}


async def _reported(drill: Awaitable[Report]) -> Report:
    """A page that breaks off a connection, or does not start, is a finding as well."""
    try:
        return await drill
    except (VisitError, httpx.HTTPError, RuntimeError, TimeoutError) as error:
        return {"error": f"{type(error).__name__}: {error}"[:400], "holds": False}


async def _signalled(picture: Path, number: int) -> Report:
    with _folder() as folder, Server(folder / "data") as server:
        await _answering(server, picture)
        children = server.descendants()
        before = time.monotonic()
        status = await asyncio.to_thread(server.stop, number)
        seconds = time.monotonic() - before
        await asyncio.sleep(1)
        report = {
            "exit_status": status,
            "seconds_to_end": round(seconds, 1),
            "tracebacks": server.tracebacks(),
            "processes_left": sum(map(alive, children)),
            "files_left": _files(server),
        }
        return report | {"holds": status is not None and not any(list(report.values())[2:])}


async def _killed(picture: Path) -> Report:
    """A killed process sweeps nothing. The next one on its folder does, but keeps the media of chats for a while."""
    with _folder() as folder:
        with Server(folder / "data") as server:
            visitor = await _answering(server, picture)
            children = server.descendants()
            server.stop(signal.SIGKILL)
            await asyncio.sleep(2)
            left = sum(map(alive, children))
        with Server(folder / "data") as again:
            async with open_tab(again.url, await _page(again)) as tab:
                tab.chat = visitor.chat
                await tab.open()
                answer = await tab.ask("Are you there?")
            report = {
                "processes_left": left,
                "files_left": _files(again, media=False),
                "answer_after_restart": bool(answer),
            }
            return report | {"holds": not left and not report["files_left"] and bool(answer)}


async def _closed_tab(picture: Path) -> Report:
    """The server must not work on for somebody who left, and forgets what was sent."""
    with _folder() as folder, Server(folder / "data") as server:
        await _answering(server, picture)
        await asyncio.sleep(3)
        before = server.processor_seconds()
        await asyncio.sleep(3)
        used = server.processor_seconds() - before
        await asyncio.sleep(CLOSED_SECONDS)
        report = {"processor_s_in_3_s": round(used, 2), "files_left": _files(server)}
        return report | {"holds": report["processor_s_in_3_s"] < 0.5 and not report["files_left"]}


async def _workers_killed(picture: Path) -> Report:
    with _folder() as folder, Server(folder / "data") as server:
        async with open_tab(server.url, await _page(server)) as visitor:
            first = await visitor.ask(QUESTION, [await visitor.upload(picture)])
            workers = [pid for pid in server.descendants() if pid != server.process.pid]
            for pid in workers:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            changed = folder / "again.png"
            changed.write_bytes(picture.read_bytes() + b"\n")  # other bytes, so that nothing is cached
            second = await visitor.ask(QUESTION, [await visitor.upload(changed)])
            report = {"workers": len(workers), "before": first, "after": second, "tracebacks": server.tracebacks()}
            return report | {"holds": bool(first) and not visitor.notice}


async def _full_disk(picture: Path) -> Report:
    """A file system of 3 MB for uploads and copies; needs the right to mount one."""
    with _folder() as folder:
        disk = folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True)
        if mounted.returncode:
            return {"not run": "no right to mount a small file system", "holds": None}
        try:
            with Server(disk / "data", log=folder / "log") as server:
                large = folder / "large.png"
                large.write_bytes(picture.read_bytes() + os.urandom(5_000_000))
                page = await _page(server)
                async with open_tab(server.url, page) as visitor:
                    first = await visitor.ask("What is it?", [await visitor.upload(picture)])
                    try:
                        said = await visitor.ask("And this?", [await visitor.upload(large)])
                    except (VisitError, httpx.HTTPError) as refused:
                        said = str(refused)
                async with open_tab(server.url, page) as visitor:
                    text = await visitor.ask("Are you there?")
                report = {
                    "before": first,
                    "said": said,
                    "after": text,
                    "parts_left": len(list(disk.rglob("*.part"))),
                    "tracebacks": server.tracebacks(),
                }
                return report | {"holds": bool(text) and not report["parts_left"] and "Traceback" not in said}
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=False)


async def _hanging_server(picture: Path) -> Report:
    """A server that lists its models and then never answers."""
    with _folder() as folder, ModelServer(iter(())) as hanging:
        flags = ["--engine-url", hanging.url, "--engine-model", MODEL]
        with Server(folder / "data", flags) as server:
            async with open_tab(server.url, await _page(server)) as visitor:
                await visitor.begin(QUESTION, [await visitor.upload(picture)])
                answering = asyncio.create_task(visitor.queued("respond"))
                await asyncio.sleep(3)
                before = time.monotonic()
                await visitor.call("stop")
                with suppress(VisitError):
                    await asyncio.wait_for(answering, 20)
                seconds = time.monotonic() - before
                await visitor.call("finish")
            report = {"seconds_to_stop": round(seconds, 2), "tracebacks": server.tracebacks()}
            return report | {"holds": seconds < 2 and not report["tracebacks"]}


async def _answering(server: Server, picture: Path) -> Visitor:
    """Leaves a tab whose answer has just begun; the tab closes when the next statement waits."""
    async with open_tab(server.url, await _page(server)) as visitor:
        await visitor.ask("What is it?", [await visitor.upload(picture)])
        await visitor.begin(QUESTION)
        answering = asyncio.create_task(visitor.queued("respond"))
        await asyncio.sleep(0.3)
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        return visitor


async def _page(server: Server) -> Page:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        return await Page.read(client)


def _files(server: Server, *, media: bool = True) -> int:
    """Files of visitors that are still on the disk; with `media=False` without the pictures and clips of chats."""
    endings = (".png", ".jpg", ".webp", ".json", ".html", ".part")
    found = [file for file in server.data_dir.rglob("*") if file.suffix in endings]
    return sum(media or file.parent.name != MEDIA for file in found)


@contextmanager
def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="qwen2vl-drill-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
