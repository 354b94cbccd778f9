"""Where a checkpoint is, and what is said where there is none."""

import pytest

from qwen2vl_demo.checkpoint.find import find_checkpoint
from qwen2vl_demo.errors import UserError


def test_a_directory_is_taken_as_it_is_and_a_missing_one_says_what_model_may_be(tmp_path):
    assert find_checkpoint(str(tmp_path)) == tmp_path
    for wrong in (str(tmp_path / "nowhere"), "./nowhere", "nowhere"):
        with pytest.raises(UserError, match='takes "nano", a checkpoint directory'):
            find_checkpoint(wrong)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match="is a file"):
        find_checkpoint(str(file))


def test_a_hub_model_without_a_network_gets_one_clear_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"cannot be reached .* or use --model nano"):
        find_checkpoint("Qwen/Qwen2-VL-2B-Instruct")
