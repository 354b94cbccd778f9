"""The drawn world of these tests holds no icons, whatever lies on the machine, unless one asks `with_icons`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.nouns import NOUNS


@pytest.fixture(scope="session", autouse=True)
def no_icons() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QWEN2VL_NANO_ICONS", "/nowhere.npz")
        icons._rasters.cache_clear()
        icons._of.cache_clear()
        yield


@pytest.fixture
def with_icons(no_icons: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every noun has a wide bar of its own grey in each set; the held-out set is brighter."""
    rasters = {}
    for name in icons.SETS:
        for index, noun in enumerate(NOUNS):
            drawing = np.zeros((1, icons.SIDE, icons.SIDE, 4), np.uint8)
            drawing[:, icons.SIDE * 3 // 8 : icons.SIDE * 5 // 8] = (index, 60 if name == icons.HELD_OUT else 0, 0, 255)
            rasters[f"{name}/{noun}"] = drawing
    np.savez(tmp_path / "icons.npz", **rasters)
    monkeypatch.setenv("QWEN2VL_NANO_ICONS", str(tmp_path / "icons.npz"))
    for cache in (icons._rasters, icons._of):
        cache.cache_clear()
    yield
    for cache in (icons._rasters, icons._of):
        cache.cache_clear()
