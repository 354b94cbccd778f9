"""The tests of nano run without icons, whatever the machine has, unless they use the fixtures with icons."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.nouns import NOUNS


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """nano is too small to gain from more threads, and they slow each other down when the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def no_icons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QWEN2VL_NANO_ICONS", str(tmp_path_factory.mktemp("icons") / "missing.npz"))
        yield


@pytest.fixture(scope="session")
def icon_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every noun is a wide bar in its own shade in each set; the held-out set is brighter."""
    rasters = {}
    for name in icons.SETS:
        for index, noun in enumerate(NOUNS):
            drawing = np.zeros((1, icons.SIDE, icons.SIDE, 4), np.uint8)
            drawing[:, icons.SIDE * 3 // 8 : icons.SIDE * 5 // 8] = (index, 60 if name == icons.HELD_OUT else 0, 0, 255)
            rasters[f"{name}/{noun}"] = drawing
    path = tmp_path_factory.mktemp("icons") / "bars.npz"
    np.savez(path, **rasters)
    return path


@pytest.fixture
def with_icons(no_icons: None, icon_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QWEN2VL_NANO_ICONS", str(icon_file))


@pytest.fixture
def use_drawings(no_icons: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`use_drawings({"set/noun": (drawings, SIDE, SIDE, 4) uint8})`: these are the machine's only icons."""

    def use(rasters: dict[str, np.ndarray]) -> None:
        np.savez(tmp_path / "drawings.npz", **rasters)
        monkeypatch.setenv("QWEN2VL_NANO_ICONS", str(tmp_path / "drawings.npz"))

    return use
