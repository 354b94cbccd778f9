"""Selects rows, measures them one after the other and prints them, as a table or as one JSON object."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from qwen2vl_demo import console
from qwen2vl_demo.bench import answers, media
from qwen2vl_demo.bench import device as devices
from qwen2vl_demo.bench.growth import growth
from qwen2vl_demo.bench.measure import HEADER, BenchRow, table_line
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.model.device import release_unused

TURNS = ("turn1_448", "turn2_vision_cache", "turn2_prefix")
DECODE = ("decode_bf16", "decode_int8", "decode_int4")
PICTURES = ("preprocess_fast", "preprocess_pil", "preprocess_fast_resize", "preprocess_pil_resize")
CLIPS = ("video_dense", "video_sparse")
PANEL = ("panel_drawn", "panel_hover_frame", "panel_bytes")
STREAMING = ("page_stream_frame", "page_stream_shift")
ALONE = ("load", "capture", "picture_large", "decode_long")
ON_CPU = (*TURNS, *DECODE, "host_overhead", *PICTURES, *CLIPS, "ui_first_update", *PANEL, *STREAMING)
ON_GPU = (*ALONE, *TURNS, *DECODE, "host_overhead")
ROWS = (*ON_CPU, *ALONE)
ROUNDS, SLOW_ROUNDS = 5, 3  # of the true shapes on a CPU, where a turn takes a quarter of a minute


def run(given: argparse.Namespace) -> int:
    """`python -m qwen2vl_demo bench`. Raises UserError for unknown rows and for sides with different results."""
    names = [name.strip() for name in given.rows.split(",")] if given.rows else []
    if unknown := [name for name in names if name not in ROWS]:
        raise UserError(f"--rows names {unknown[0]!r}, which is not a row; the rows are {', '.join(ROWS)}.")
    if given.rounds is not None and given.rounds < 1:
        raise UserError(f"--rounds is {given.rounds}; give 1 or more.")
    device = torch.device(given.device)
    names = names or list(ON_CPU if device.type == "cpu" else ON_GPU)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("There is no device cuda here; run the bench with --device cpu.")
    about = machine(device)
    log(about)
    if given.growth:
        records = growth(given.shape, device, log)
        if given.json:
            console.write(json.dumps({"machine": about, "growth": records}))
        return 0
    rows: list[dict[str, Any]] = []
    log(HEADER)
    for row in measured(names, given.shape, device, given.rounds, not given.no_peer):
        record = row.to_dict()
        rows.append(record)
        log(table_line(record) + f" <!-- {record['check']} -->")
    missing = [name for name in names if name not in {record["row"] for record in rows}]
    if missing:
        log(
            f"Not run, because their peers are not installed: {', '.join(missing)}; "
            "pip install --no-deps -r qwen2vl_demo/bench/requirements.txt"
        )
    log(f"load average at the end: {load()}")
    if given.json:
        console.write(json.dumps({"machine": f"{about}; at the end {load()}", "rows": rows}))
    return 0


def measured(
    names: list[str], shape: str, device: torch.device, rounds: int | None, with_peer: bool = True
) -> Iterator[BenchRow]:
    """Yields the rows named, as they are measured. Rows that share a model are measured together."""
    slow = rounds or (SLOW_ROUNDS if device.type == "cpu" and shape != "small" else ROUNDS)
    many = rounds or ROUNDS
    jobs: list[tuple[tuple[str, ...], Callable[[], Iterator[BenchRow]]]] = [
        (ALONE, lambda: devices.alone(shape, device, slow)),
        (("host_overhead",), lambda: answers.host(device, many, with_peer)),
        *(((row,), partial(media.preprocess, row, many)) for row in PICTURES),
        *(((row,), partial(media.video, row, many)) for row in CLIPS),
        (("ui_first_update",), lambda: _page(many)),
        (PANEL, lambda: _panel(many)),
        (STREAMING, _long_chat),
        (DECODE, lambda: answers.decode(shape, device, many, with_peer)),
        (TURNS, lambda: answers.turns(shape, device, slow, with_peer)),
    ]
    for job, make in jobs:
        if set(job) & set(names):
            yield from (row for row in make() if row.row in names)
            gc.collect()
            release_unused(device)


def _page(rounds: int) -> Iterator[BenchRow]:
    from qwen2vl_demo.bench.first_update import first_update  # rows of a GPU need neither Gradio nor Plotly

    yield from first_update(rounds)


def _panel(rounds: int) -> Iterator[BenchRow]:
    from qwen2vl_demo.bench.panel import panel

    yield from panel(rounds)


def _long_chat() -> Iterator[BenchRow]:
    from qwen2vl_demo.bench.long_chat import long_chat

    yield from long_chat()


def machine(device: torch.device) -> str:
    """Processor, cores, versions and load average."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    if device.type == "cuda":
        name = f"{torch.cuda.get_device_name(device)}, {name}"
    kind = torch.backends.cpu.get_cpu_capability()
    return (
        f"{name}, {os.cpu_count()} cores, {kind}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"threads {torch.get_num_threads()}; load average {load()}"
    )


def load() -> str:
    return ", ".join(f"{x:.1f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"


def log(line: str) -> None:
    """Prints progress and the table to standard error, since standard output may be JSON."""
    print(line, file=sys.stderr, flush=True)
