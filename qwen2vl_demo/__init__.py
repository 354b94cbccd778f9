"""An interactive demo of Qwen2-VL: chat with pictures and videos, and see what the model sees.

The public names below are looked up when they are first used: `import qwen2vl_demo` itself loads neither torch nor
gradio, so that `--help`, a wrong flag and the tests of pure modules answer at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from qwen2vl_demo.version import __version__

if TYPE_CHECKING:
    from qwen2vl_demo.engine.factory import load_engine
    from qwen2vl_demo.engine.protocol import GenerationOptions
    from qwen2vl_demo.errors import UserError
    from qwen2vl_demo.media import TimeRange
    from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video

_HOME = {
    "GenerationOptions": "qwen2vl_demo.engine.protocol",
    "Image": "qwen2vl_demo.processing.messages",
    "MediaOptions": "qwen2vl_demo.processing.messages",
    "Message": "qwen2vl_demo.processing.messages",
    "Text": "qwen2vl_demo.processing.messages",
    "TimeRange": "qwen2vl_demo.media",
    "UserError": "qwen2vl_demo.errors",
    "Video": "qwen2vl_demo.processing.messages",
    "load_engine": "qwen2vl_demo.engine.factory",
}

__all__ = [
    "GenerationOptions",
    "Image",
    "MediaOptions",
    "Message",
    "Text",
    "TimeRange",
    "UserError",
    "Video",
    "__version__",
    "load_engine",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value  # found once, then an ordinary attribute
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
