"""The corpora of files: truths are checked, hostile files end, nothing stays behind."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.bench import files
from qwen2vl_demo.bench.hostile_samples import hostile_samples
from qwen2vl_demo.bench.picture_bombs import deflated, png, webp
from qwen2vl_demo.bench.picture_samples import ADOBE, CHROMIUM, DISPLAY_P3, PROPHOTO, in_srgb, saved
from qwen2vl_demo.bench.samples import BLUE, COLOURS, SIZE, Expected, Sample, quadrants, turned
from qwen2vl_demo.bench.upload_path import Reading, UploadReader

GOOD: dict[str, Any] = {
    "kind": "image",
    "size": [*SIZE],
    "frames": None,
    "times": None,
    "first": COLOURS,
    "last": COLOURS,
}


def test_each_line_of_situations_has_files_with_a_truth_from_outside() -> None:
    samples = files.corpus()
    assert {sample.line for sample in samples} == {f"1.{number}" for number in range(1, 14)}
    assert len(samples) >= 110 and len({sample.name for sample in samples}) == len(samples)
    assert all(sample.source and (sample.expected or sample.refusal) for sample in samples)


def test_at_least_250_hostile_files_are_made_of_every_format() -> None:
    samples = list(hostile_samples())
    assert len(samples) >= 450 and all(sample.hostile for sample in samples)
    endings = Counter(sample.name.rpartition(".")[2] for sample in samples)
    for ending in (
        "png",
        "jpg",
        "webp",
        "gif",
        "tif",
        "bmp",
        "heic",
        "avif",
        "jp2",
        "ppm",
        "pdf",
        "mp4",
        "mov",
        "mkv",
        "avi",
        "ts",
    ):
        assert endings[ending] >= 5, ending


def test_what_differs_from_the_truth_is_named() -> None:
    truth = Expected(kind="video", frames=10, times=(0, 0.9), last=COLOURS)
    found = {**GOOD, "kind": "video", "frames": 10, "times": [0.0, 0.95]}
    assert truth.faults(found) == []
    wrong = {**found, "kind": "image", "size": [1, 2], "frames": 9, "times": [0.0, 3.0], "last": turned()}
    assert [fault.split()[0] for fault in truth.faults(wrong)] == ["is", "1x2", "last", "9", "times"]


def test_a_refusal_is_right_where_the_truth_says_so() -> None:
    sample = Sample("a.png", "1.1", "", bytes, "", [Expected()], "cut off")
    assert sample.faults("answered", "", [GOOD]) == [] == sample.faults("refused", "It is Cut off.", [])
    assert sample.faults("refused", "It is damaged.", []) and sample.faults("answered", "", [GOOD, GOOD])
    assert sample.faults("exception", "ValueError", []) and sample.faults("hang", "", [])
    assert dataclasses.replace(sample, expected=()).faults("answered", "", [GOOD])
    hostile = dataclasses.replace(sample, hostile=True)
    assert hostile.faults("refused", "?", []) == [] == hostile.faults("answered", "", []) and hostile.faults(
        "death", "", []
    )


def test_colours_of_profiles_are_those_of_chromium() -> None:
    """Read off a canvas in Chromium 156, for the files of the corpus."""
    chromium = [
        (in_srgb(ADOBE, 563 / 256), [(233, 35, 35), (0, 161, 46), (20, 57, 205), (231, 231, 231)]),
        (in_srgb(DISPLAY_P3, 2.2), [(220, 0, 17), (0, 164, 35), (28, 58, 209), (231, 231, 231)]),
        (in_srgb(PROPHOTO, 1.8), [(255, 0, 49), (0, 191, 38), (0, 80, 223), (235, 235, 235)]),
    ]
    for computed, drawn in chromium:
        assert np.abs(np.subtract(computed, drawn)).max() <= 1


def test_bombs_are_what_they_claim() -> None:
    for count in (0, 7, 3 * 2**20 + 77):
        assert zlib.decompress(deflated(count)) == bytes(count)
    assert len(webp(16_383, 16_383)) <= 34 and len(png((10_900, 10_900), 8, 0)) < 150_000
    assert PIL.Image.open(io.BytesIO(webp(300, 200))).convert("RGB").size == (300, 200)
    assert PIL.Image.open(io.BytesIO(png((20, 30), 16, 0))).getpixel((29, 19)) == 0


def test_files_are_read_as_uploads_and_one_that_hangs_ends_the_worker_only(tmp_path: Path) -> None:
    """One process reads a picture, text and a picture of other colours, is stopped, and a new one reads on."""
    folder, path = tmp_path / "store", tmp_path / "0.bin"
    good = Sample("good.png", "1.1", "", lambda: saved(quadrants(), "PNG"), CHROMIUM)
    with UploadReader(folder) as reader:
        path.write_bytes(good.make())
        reading = reader.read(path, good.name)
        assert good.faults(reading.outcome, reading.sentence, reading.media) == []
        assert 2**20 < reading.peak < 200 * 2**20, "what the process had before does not count"
        path.write_bytes(b"text")
        reading = reader.read(path, "a\x1b.png")
        assert (reading.outcome, reading.sentence[:6]) == ("refused", "a.png ")
        path.write_bytes(saved(quadrants((BLUE,) * 4), "PNG"))
        reading = reader.read(path, "blue.png")
        assert good.faults(reading.outcome, reading.sentence, reading.media)[0].startswith("first colours")
        assert reader._worker is not None
        first, reader._deadline = reader._worker.pid, 0.2
        os.kill(first, signal.SIGSTOP)
        assert reader.read(path, "blue.png").outcome == "hang" and not Path(f"/proc/{first}").exists()
        reader._deadline = 60
        assert reader.read(path, "blue.png").outcome == "answered"
        last = reader._worker.pid
    assert not Path(f"/proc/{last}").exists()


def test_the_command_prints_what_became_of_the_files(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    sample = Sample("a.png", "1.1", "a picture", bytes, "")
    rows = [
        files.Row("a.png", "1.1", "", [], Reading("answered", "", [], 1, 0.5, 2**20)),
        files.Row("b.png", "1.3", "turned", ["2x1 px, not 1x2"], Reading("answered", "", [], 1, 2.5, 1024 * 10**6)),
        files.Row("c.png", "1.3", "", [], Reading("refused", "It is text.", [], 1, 0.1, 5)),
    ]
    monkeypatch.setattr(files, "corpus", lambda: [sample])
    monkeypatch.setattr(files, "read_all", lambda samples: rows)
    assert files.run(hostile=False, as_json=False) == 1
    out = capsys.readouterr().out
    assert "b.png" in out and "2x1 px, not 1x2" in out
    assert "3 files: 2 answered, 1 refused, 1 wrong, 0 exceptions, 0 hangs, 0 deaths" in out
    assert "slowest: 2.5 s of processor time, b.png" in out and "1,024 MB, b.png" in out
    assert files.run(hostile=False, as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["summary"]["wrong"] == 1
