"""`qwen2vl-demo drill`: attacks, faults and many visitors against the served page, and what came of them."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qwen2vl_demo import console
from qwen2vl_demo.bench.drill import attacks, faults, visitors
from qwen2vl_demo.bench.drill.server import Server
from qwen2vl_demo.resources import EXAMPLES


def run(given: argparse.Namespace) -> int:
    """Runs what was chosen, prints the figures and returns 0 if all that is promised holds, else 1."""
    chosen = given.only.split(",") if given.only else ["attacks", "faults", "visitors"]
    figures: dict[str, Any] = {}
    # A shell starts what runs in the background with SIGINT ignored, and the pages would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="qwen2vl-drill-") as folder:
        for name in chosen:
            _log(f"{name} ...")
            figures[name] = asyncio.run(_run(name, Path(folder), given))
            _show(figures[name])
    if given.json:
        console.write(json.dumps(figures))
    return 0 if _holds(figures) else 1


async def _run(name: str, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    files = sorted(file for file in EXAMPLES.iterdir() if file.suffix in (".png", ".jpg", ".webp", ".mp4", ".gif"))
    if name == "faults":
        return await faults.all_faults(next(file for file in files if file.suffix == ".png"))
    with Server(folder / name) as server:
        if name == "attacks":
            found: dict[str, Any] = {
                "reading others' questions": await attacks.read_others_questions(server),
                "holding up the page": await attacks.hold_up_the_page(server),
            }
        else:
            tally = await visitors.drill(server, given.visitors, given.hostile, given.minutes, files, _log)
            found = {"visitors": tally.summary() | {"holds": tally.holds()}}
        return found | {"log": {"tracebacks": server.tracebacks(), "holds": not server.tracebacks()}}


def _holds(figures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> bool:
    """What could not be run here (None) does not count."""
    return all(report.get("holds") is not False for reports in figures.values() for report in reports.values())


def _show(reports: Mapping[str, Mapping[str, Any]]) -> None:
    for name, report in reports.items():
        holds = {True: "holds", False: "FAILS", None: "not run"}[report.get("holds")]
        _log(f"  {holds:8} {name}")
        for key, value in report.items():
            if key != "holds":
                _log(f"             {key}: {value}")


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
