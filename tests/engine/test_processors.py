"""Processors without a model: whose limits act, whose tokenizer counts, and that no weights are fetched."""

import json
import shutil
from pathlib import Path

import pytest

from qwen2vl_demo.engine.processors import processor_for, reference_processor
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.processing.processor import Processor


def test_the_reference_processor_has_the_released_limits_and_nanos_words() -> None:
    """preprocessor_config.json of the released checkpoints: 3136 to 12845056 pixels; their context: 32768."""
    reference, nano = reference_processor(), processor_for("nano")
    assert (reference.image.min_pixels, reference.image.max_pixels) == (3136, 12845056)
    assert reference.image.max_pixels > nano.image.max_pixels
    messages = [Message("user", "What is this?")]
    ours, nanos = reference.process(messages).trace, nano.process(messages).trace
    assert ours.context_length == 32_768 > nanos.context_length
    assert ours.input_ids.tolist() == nanos.input_ids.tolist()


def test_none_means_the_reference_and_a_directory_means_itself(checkpoint: Path) -> None:
    limits = MediaLimits(max_file_bytes=5)
    assert processor_for("none", limits).image == reference_processor().image
    found = processor_for(str(checkpoint), limits)
    assert found.image == Processor.from_directory(checkpoint).image and found.limits == limits


def test_without_a_tokenizer_that_of_another_checkpoint_is_taken(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copy(checkpoint / "config.json", tmp_path)
    with pytest.raises(UserError, match="--processor Qwen/Qwen2-VL-2B-Instruct"):
        processor_for(str(tmp_path))
    other = processor_for(str(tmp_path), preprocessing=str(checkpoint))
    messages = [Message("user", "What is this?")]
    own = Processor.from_directory(checkpoint).process(messages).trace
    assert other.process(messages).trace.input_ids.tolist() == own.input_ids.tolist()
    with pytest.raises(UserError, match="point --processor at the directory"):
        processor_for(str(tmp_path), preprocessing=str(checkpoint / "config.json"))


def test_a_hub_id_is_fetched_without_its_weights(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(hub_id: str, allow_patterns: list[str]) -> str:
        asked.append((hub_id, allow_patterns))
        return str(checkpoint)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text("utf-8"))
    assert processor_for("Qwen/Qwen2-VL-2B-Instruct").tokenizer.special("<|im_end|>") in [
        token["id"] for token in tokenizer["added_tokens"]
    ]
    ((hub_id, patterns),) = asked
    assert hub_id == "Qwen/Qwen2-VL-2B-Instruct" and "*.json" in patterns
    assert not any("safetensors" in pattern for pattern in patterns)
