"""Engines answer conversations: the protocol, and the local, the remote and the processor-only engine.

`load_engine` creates one. The names below are imported when they are first used, so that importing the options of an
answer does not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qwen2vl_demo.engine.factory import load_engine
    from qwen2vl_demo.engine.local import LocalEngine
    from qwen2vl_demo.engine.processor_only import ProcessorOnlyEngine
    from qwen2vl_demo.engine.protocol import Chunk, Engine, GenerationOptions, Result
    from qwen2vl_demo.engine.remote.engine import RemoteEngine

_HOME = {
    "Chunk": "protocol",
    "Engine": "protocol",
    "GenerationOptions": "protocol",
    "LocalEngine": "local",
    "ProcessorOnlyEngine": "processor_only",
    "RemoteEngine": "remote.engine",
    "Result": "protocol",
    "load_engine": "factory",
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


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # later accesses find an ordinary attribute
    return value
