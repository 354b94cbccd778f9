"""Device and dtypes: what is chosen where the user left it open, and the reason that is told."""

import pytest
import torch

from qwen2vl_demo.checkpoint import placement
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from tests.checkpoint.tiny import CONFIG, write


def test_placement_gives_its_reason(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr(placement, "bfloat16_gain", lambda: 6.0)
    assert placement.place(tmp_path, "cpu").dtype is torch.bfloat16
    monkeypatch.setattr(placement, "bfloat16_gain", lambda: 0.1)
    placed = placement.place(tmp_path, "cpu")
    assert (placed.dtype, placed.reason) == (
        torch.float32,
        "cpu as asked for; float32, 10 times as fast as bfloat16 here",
    )
    monkeypatch.setattr(placement, "free_memory", lambda: 1000)
    placed = placement.place(tmp_path, "cpu")
    assert placed.dtype is torch.bfloat16
    assert "float32 would need" in placed.reason
    assert placement.place(tmp_path, "cpu", "bfloat16").reason.endswith("bfloat16 as asked for")


def test_where_the_free_memory_is_unknown_the_faster_dtype_is_chosen(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr(placement, "bfloat16_gain", lambda: 0.1)
    monkeypatch.setattr(placement, "bfloat16_row_gain", lambda: 2.0)
    monkeypatch.setattr(placement, "MIN_DECODE_BYTES", 1)
    monkeypatch.setattr(placement, "free_memory", lambda: None)
    placed = placement.place(tmp_path, "cpu")
    assert (placed.dtype, placed.decode) == (torch.float32, "bfloat16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="no device cuda here"):
        placement.place(tmp_path, "cuda")


def test_a_large_model_on_a_cpu_writes_in_bfloat16_only_where_that_is_faster_and_was_left_open(tmp_path, monkeypatch):
    """A row is multiplied twice as fast here, a matrix at a tenth: prompts are read in one dtype, answers written in
    the other."""
    write(tmp_path)
    monkeypatch.setattr(placement, "bfloat16_gain", lambda: 0.1)
    monkeypatch.setattr(placement, "bfloat16_row_gain", lambda: 2.0)
    assert placement.place(tmp_path, "cpu").decode == "same", "a small model gains nothing"
    monkeypatch.setattr(placement, "MIN_DECODE_BYTES", 1)
    placed = placement.place(tmp_path, "cpu")
    assert (placed.dtype, placed.decode) == (torch.float32, "bfloat16")
    assert "2.0 times as fast for a single token" in placed.reason
    assert placement.place(tmp_path, "cpu", "float32").decode == "same"
    assert placement.place(tmp_path, "cpu", "auto", "int8").quantize == "int8"
    monkeypatch.setattr(placement, "bfloat16_row_gain", lambda: 1.1)
    assert placement.place(tmp_path, "cpu").decode == "same"


def test_the_numbers_read_for_a_token_are_the_matrices_of_the_language_model():
    """CONFIG is not tied: the embedding gives one row, the head is read whole."""
    names = dict(Qwen2VL(CONFIG).named_parameters())
    read = sum(p.numel() for name, p in names.items() if p.ndim == 2 and name.startswith(("model.layers", "lm_head")))
    assert placement.decode_parameters(CONFIG.text) == read
