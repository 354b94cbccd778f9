"""The drawn world of these tests holds no icons, whatever lies on the machine; test_icons.py brings its own."""

from collections.abc import Iterator

import pytest

from qwen2vl_demo.nano import icons


@pytest.fixture(scope="session", autouse=True)
def no_icons() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QWEN2VL_NANO_ICONS", "/nowhere.npz")
        icons._rasters.cache_clear()
        icons._of.cache_clear()
        yield
