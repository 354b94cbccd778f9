"""Answers: the engine protocol and the engines that exist.

`load_engine` is the one way in. Names are looked up when first used, so that asking for the options of an answer
does not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qwen2vl_demo.engine.local import LocalEngine
    from qwen2vl_demo.engine.processor_only import ProcessorOnlyEngine
    from qwen2vl_demo.engine.protocol import Chunk, Engine, GenerationOptions, Result
    from qwen2vl_demo.engine.remote.engine import RemoteEngine
    from qwen2vl_demo.media import MediaLimits

_HOME = {
    "Chunk": "base",
    "Engine": "base",
    "GenerationOptions": "base",
    "LocalEngine": "local",
    "ProcessorOnlyEngine": "no_model",
    "RemoteEngine": "remote",
    "Result": "base",
}

__all__ = [
    "Chunk",
    "Engine",
    "GenerationOptions",
    "LocalEngine",
    "ProcessorOnlyEngine",
    "RemoteEngine",
    "Result",
    "load_engine",
]


def load_engine(
    model: str = "nano",
    device: str = "auto",
    dtype: str = "auto",
    *,
    quantize: str = "none",
    engine_url: str | None = None,
    engine_model: str | None = None,
    engine_key: str | None = None,
    engine_timeout: float = 300.0,
    limits: MediaLimits | None = None,
) -> Engine:
    """The engine that answers: the model here, or the server at `engine_url`.

    `model` is "nano", a checkpoint directory, a Hugging Face id, or "none" (prepares prompts, answers nothing).
    With `engine_url` the model answers there, and `model` only says whose tokenizer and limits prepare the prompt.
    `quantize` "int8" writes answers with 8-bit weights; prompts are read with the full ones.
    `limits` bounds the files that are opened.
    Raises UserError for a model that cannot be loaded and a server that does not answer.
    """
    if engine_url is not None:
        from qwen2vl_demo.engine.remote.engine import RemoteEngine

        return RemoteEngine.connect(
            engine_url, engine_model, key=engine_key, timeout=engine_timeout, checkpoint=model, limits=limits
        )
    if model == "none":
        from qwen2vl_demo.engine.processor_only import ProcessorOnlyEngine

        return ProcessorOnlyEngine.load(limits)
    from qwen2vl_demo.engine.local import LocalEngine

    return LocalEngine.load(model, device=device, dtype=dtype, quantize=quantize, limits=limits)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # found once, then an ordinary attribute
    return value
