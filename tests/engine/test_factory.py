"""From settings to an engine: which one is chosen, and that every setting arrives."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from qwen2vl_demo.engine import factory as start
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.processor_only import ProcessorOnlyEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.settings import Settings
from tests.checkpoint.adapters import factors, write_adapter


def test_a_directory_loads_the_model_here(checkpoint: Path) -> None:
    engine = start.engine_of(Settings(model=str(checkpoint), device="cpu", dtype="float32"))
    assert isinstance(engine, LocalEngine)
    assert "cpu as asked for; float32 as asked for" in engine.description


def test_an_adapter_changes_what_the_model_answers(checkpoint: Path, tmp_path: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    lora = write_adapter(
        tmp_path / "lora", factors(weights, ["model.layers.0.mlp.up_proj"]), base_model_name_or_path=str(checkpoint)
    )
    plain, given, found = (
        start.engine_of(Settings(model=str(model), adapter=adapter and str(adapter), device="cpu", dtype="float32"))
        for model, adapter in ((checkpoint, None), (checkpoint, lora), (lora, None))
    )
    changed = [engine.model.model.layers[0].mlp.up_proj.weight for engine in (plain, given, found)]  # type: ignore
    assert not torch.equal(changed[0], changed[1])
    assert torch.equal(changed[1], changed[2])


@pytest.mark.parametrize(
    "settings", [Settings(adapter="x", model="none"), Settings(adapter="x", engine_url="http://a")]
)
def test_an_adapter_needs_a_model_here(settings: Settings) -> None:
    with pytest.raises(UserError, match="--adapter is merged into a model that runs here"):
        start.engine_of(settings)


def test_none_prepares_prompts_and_answers_nothing() -> None:
    engine = start.engine_of(Settings(model="none"))
    assert isinstance(engine, ProcessorOnlyEngine)
    assert len(engine.prepare([Message("user", "hello")], GenerationOptions())) > 0
    with pytest.raises(UserError, match="--model none"):
        list(engine.stream([Message("user", "hello")], GenerationOptions()))


def test_an_address_means_the_server_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: dict[str, Any] = {}

    def connect(url: str, model: str | None, **how: Any) -> str:
        heard.update(url=url, model=model, **how)
        return "the engine"

    monkeypatch.setattr(RemoteEngine, "connect", connect)
    settings = Settings(engine_url="http://a", engine_model="m", engine_key="k", engine_timeout=9, max_file_mb=300)
    assert start.engine_of(settings) == "the engine"
    assert heard.pop("limits").max_file_bytes == 300 * 10**6
    assert heard == {
        "url": "http://a",
        "model": "m",
        "key": "k",
        "timeout": 9,
        "checkpoint": "nano",
        "preprocessing": None,
        "decoding": None,
    }


def test_the_upload_limit_only_ever_raises_what_files_are_opened(checkpoint: Path) -> None:
    """The page refuses larger uploads by itself; a file on the command line may be larger."""
    engine = start.engine_of(Settings(model=str(checkpoint), max_file_mb=1))
    assert isinstance(engine, LocalEngine) and engine.processor.limits == MediaLimits()


def test_every_default_of_an_answer_comes_from_the_settings() -> None:
    options = start.options_of(
        Settings(max_new_tokens=5, temperature=0.5, min_pixels=1000, max_pixels=2000, fps=1, max_frames=8)
    )
    assert (options.max_new_tokens, options.temperature) == (5, 0.5)
    media = options.media
    assert (media.min_pixels, media.max_pixels, media.fps, media.max_frames) == (1000, 2000, 1, 8)
    assert start.options_of(Settings()) == GenerationOptions()
