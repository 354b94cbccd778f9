"""Where a checkpoint is, and what is said where there is none."""

from types import SimpleNamespace

import pytest

from qwen2vl_demo.checkpoint import find
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


def test_weights_for_which_the_disk_has_no_room_are_not_downloaded(monkeypatch, tmp_path):
    """Only what is not there yet counts; without a network nothing is asked."""
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_vl"}')
    downloads = []

    def download(hub_id, patterns, flag):
        downloads.append(patterns)
        return tmp_path

    sizes = {"model-1.safetensors": 6 * 10**9, "model-2.safetensors": 4 * 10**9, "a.bin": 2**40, "config.json": 900}
    monkeypatch.setattr(find, "_download", download)
    monkeypatch.setattr(find, "hub_files", lambda hub_id: sizes)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "not" / "yet"))
    monkeypatch.setattr(find.shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 10**9))
    with pytest.raises(UserError, match=r"take 10 GB more on the disk, and 5 GB are free .*HF_HOME"):
        find_checkpoint("some/model")
    assert downloads == [find.SMALL_FILES]
    there = lambda hub_id, name: "path" if name == "model-1.safetensors" else None  # noqa: E731
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", there)
    (tmp_path / "model-1.safetensors").touch()
    assert find_checkpoint("some/model") == tmp_path
