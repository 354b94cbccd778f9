"""A file that was too costly to open is not opened again, whoever sends it and whatever it is called."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwen2vl_demo.decoding import InProcess, TooCostly
from qwen2vl_demo.engine.processors import reference_processor
from qwen2vl_demo.processing.messages import Image, Message, Text
from qwen2vl_demo.ui.media_store import MediaStore


class Costly:
    """Refuses everything but to identify a file."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def run(
        self, function: Callable[..., Any], *arguments: Any, label: str, cancel: threading.Event | None = None
    ) -> Any:
        if function.__name__ == "identify_file":
            return InProcess().run(function, *arguments, label=label, cancel=cancel)
        self.calls.append(label)
        raise TooCostly(label, "takes too long.")

    def close(self) -> None:
        pass


def test_a_picture_is_refused_at_once_the_second_time(tmp_path: Path) -> None:
    decoding = Costly()
    processor = reference_processor(decoding=decoding)
    PIL.Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    for name in ("mine.png", "yours.png"):
        with pytest.raises(TooCostly, match=f"^{name} takes too long"):
            processor.process([Message("user", [Image(tmp_path / "a.png", name), Text("?")])])
    assert decoding.calls == ["mine.png"]


def test_so_are_the_pages_of_a_pdf_and_a_view_for_the_browser(tmp_path: Path) -> None:
    decoding = Costly()
    store = MediaStore(tmp_path / "media", decoding=decoding)
    for ending in ("pdf", "tiff"):
        PIL.Image.new("RGB", (60, 40)).save(tmp_path / f"a.{ending}")
    for name in ("mine.pdf", "yours.pdf"):
        with pytest.raises(TooCostly, match=f"^{name} takes too long"):
            store.add(tmp_path / "a.pdf", name)
    (scan,) = store.add(tmp_path / "a.tiff", "scan.tiff")
    assert store.view(scan) is None and store.view(scan) is None
    assert decoding.calls == ["mine.pdf", "scan.tiff"]
