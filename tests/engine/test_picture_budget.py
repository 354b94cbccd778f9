"""The default size of a picture follows the memory that is free, on every device."""

import pytest
import torch

from qwen2vl_demo.engine import local
from qwen2vl_demo.engine.picture_budget import affordable_pixels, picture_bytes
from qwen2vl_demo.geometry import FACTOR, MAX_PIXELS
from qwen2vl_demo.released import RELEASED

GB = 2**30
PHOTO = 15_500  # merged tokens of a picture of 12 megapixels


def test_a_photo_of_12_megapixels_takes_over_100_gb_where_attention_is_a_matrix():
    """62,000 patches: 16 heads x 62,000^2 x 2 bytes are 123 GB (115 GiB) for the scores alone."""
    assert picture_bytes(RELEASED["7B"], PHOTO, 2, whole_matrix=True) > 115 * GB
    assert picture_bytes(RELEASED["7B"], PHOTO, 2, whole_matrix=False) < 8 * GB


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("size", ["2B", "7B"])
def test_what_is_affordable_fits_and_the_next_larger_one_does_not(size, whole):
    config = RELEASED[size]
    budgets = [affordable_pixels(config, 2, gb * GB, whole_matrix=whole, most=MAX_PIXELS) for gb in (1, 4, 16)]
    assert budgets == sorted(budgets)
    for gb, pixels in zip((1, 4, 16), budgets, strict=True):
        tokens = pixels // FACTOR**2
        assert picture_bytes(config, tokens, 2, whole_matrix=whole) <= 0.5 * gb * GB
        assert pixels == MAX_PIXELS or picture_bytes(config, tokens + 1, 2, whole_matrix=whole) > 0.5 * gb * GB


def test_plenty_of_memory_leaves_the_released_limit_and_none_leaves_one_merged_token():
    config = RELEASED["2B"]
    assert affordable_pixels(config, 2, 60 * GB, whole_matrix=False, most=MAX_PIXELS) == MAX_PIXELS
    assert affordable_pixels(config, 2, 0, whole_matrix=True, most=MAX_PIXELS) == FACTOR**2
    assert affordable_pixels(config, 2, 0, whole_matrix=True, most=10) == 10


def test_a_laptop_of_apple_gets_pictures_that_it_can_encode():
    """8 GB left: about a megapixel, as much as grounding is best with, instead of an error at the first photo."""
    pixels = affordable_pixels(RELEASED["2B"], 2, 8 * GB, whole_matrix=True, most=MAX_PIXELS)
    assert 1_000_000 < pixels < 2_500_000


def test_an_engine_asks_its_device_once(checkpoint, monkeypatch):
    asked = []

    def free(device):
        asked.append(device)
        return 10**6

    def limits():
        return local.LocalEngine.load(str(checkpoint), device="cpu", dtype="float32").pixel_limits

    monkeypatch.setattr(local, "bytes_free", lambda device: None)
    unlimited = limits()
    monkeypatch.setattr(local, "bytes_free", free)
    engine = local.LocalEngine.load(str(checkpoint), device="cpu", dtype="float32")
    least, most = engine.pixel_limits
    assert least == unlimited[0] <= most < unlimited[1]
    assert engine.pixel_limits == (least, most)
    assert asked == [torch.device("cpu")]
