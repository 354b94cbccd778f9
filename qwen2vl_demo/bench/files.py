"""`bench --files` and `bench --hostile`: reads a corpus as the page reads uploads, and prints what became of it.

The first corpus holds files as people have them, each with its truth. The second one holds files that were made to do
harm; the truth of those is that nothing happens. Both are generated, in a temporary folder that is deleted again.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qwen2vl_demo import console
from qwen2vl_demo.bench.clip_samples import clip_samples
from qwen2vl_demo.bench.document_samples import document_samples
from qwen2vl_demo.bench.picture_samples import picture_samples
from qwen2vl_demo.bench.samples import Sample
from qwen2vl_demo.bench.upload_path import Reading, UploadReader
from qwen2vl_demo.errors import UserError


@dataclass(frozen=True)
class Row:
    """A file and what became of it."""

    name: str
    line: str
    about: str
    faults: list[str]  # empty if it was read, or refused, as it must be
    reading: Reading


def corpus() -> list[Sample]:
    return [*picture_samples(), *clip_samples(), *document_samples()]


def read_all(samples: Iterable[Sample]) -> Iterator[Row]:
    """Makes and reads each sample. What they are and what is stored of them is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="qwen2vl-bench-") as folder:
        uploads, store = Path(folder) / "uploads", Path(folder) / "store"
        uploads.mkdir()
        with UploadReader(store) as reader:
            for number, sample in enumerate(samples):
                path = uploads / f"{number}.bin"
                path.write_bytes(sample.make())
                reading = reader.read(path, sample.name, sample.pages)
                path.unlink()
                for stored in store.iterdir():
                    stored.unlink()
                faults = sample.faults(reading.outcome, reading.sentence, reading.media)
                yield Row(sample.name, sample.line, sample.about, faults, reading)


def run(*, hostile: bool, only: str | None = None, as_json: bool = False) -> int:
    """Reads a corpus and prints it; the status is 1 if a file was read wrong, raised an exception, hung or killed.

    `only` is a list of lines and of parts of names, separated by commas. Raises UserError if no file is among them.
    """
    if hostile:
        from qwen2vl_demo.bench.hostile_samples import hostile_samples

        samples: Iterable[Sample] = hostile_samples()
    else:
        samples = corpus()
    if only:
        wanted = [part.strip() for part in only.split(",")]
        samples = [s for s in samples if any(part == s.line or part in s.name for part in wanted)]
        if not samples:
            raise UserError(f"--rows is {only!r}, which is in the name of no file; without it all are read.")
    rows = []
    for row in read_all(samples):
        rows.append(row)
        if not as_json:
            for fault in row.faults:
                console.write(f"{row.line:5} {printable(row.name):24} {row.about}: {fault}")
    summary = summarize(rows)
    if as_json:
        console.write(json.dumps({"summary": summary, "files": [asdict(row) for row in rows]}, ensure_ascii=True))
    else:
        console.write(described(summary))
    return 1 if any(row.faults for row in rows) else 0


def summarize(rows: list[Row]) -> dict[str, Any]:
    """How many files there were, what became of them, the slowest and the largest."""
    count = Counter(row.reading.outcome for row in rows)
    slowest = max(rows, key=lambda row: row.reading.processor)
    largest = max(rows, key=lambda row: row.reading.peak)
    return {
        "files": len(rows),
        "answered": count["answered"],
        "refused": count["refused"],
        "wrong": sum(bool(row.faults) for row in rows),
        "exceptions": count["exception"],
        "hangs": count["hang"],
        "deaths": count["death"],
        "slowest": [slowest.name, round(slowest.reading.processor, 2)],
        "peak": [largest.name, round(largest.reading.peak / 1e6)],
    }


def described(summary: dict[str, Any]) -> str:
    slowest, peak = summary["slowest"], summary["peak"]
    return (
        f"{summary['files']} files: {summary['answered']} answered, {summary['refused']} refused, {summary['wrong']} "
        f"wrong, {summary['exceptions']} exceptions, {summary['hangs']} hangs, {summary['deaths']} deaths\n"
        f"slowest: {slowest[1]} s of processor time, {printable(slowest[0])}\n"
        f"peak memory that a file took: {peak[1]:,} MB, {printable(peak[0])}"
    )


def printable(name: str) -> str:
    name = "".join(c if c.isprintable() else "?" for c in name)
    return name if len(name) <= 40 else name[:30] + "..." + name[-7:]
