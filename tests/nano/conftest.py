"""The drawn world of these tests holds no icons, whatever lies on the machine; test_icons.py brings its own."""

import pytest

from qwen2vl_demo.nano import icons


@pytest.fixture(autouse=True)
def no_icons(monkeypatch):
    monkeypatch.setenv("QWEN2VL_NANO_ICONS", "/nowhere.npz")
    icons._rasters.cache_clear()
    icons._of.cache_clear()
