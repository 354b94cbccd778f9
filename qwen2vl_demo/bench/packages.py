"""Imports of the packages that only the bench needs, with a hint about what to install."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import Any

import torch

from qwen2vl_demo.errors import UserError


def needed(package: str) -> Any:
    """Imports a package. If it is missing, raises UserError with the command that installs it."""
    if package == "transformers":
        let_torchvision_load()  # transformers imports it if it is installed
    try:
        return importlib.import_module(package)
    except ImportError:
        raise UserError(
            f"The bench compares with {package}, which is not installed: pip install -r tests/requirements.txt "
            "(and, for four rows, --no-deps -r qwen2vl_demo/bench/requirements.txt)."
        ) from None


@cache
def let_torchvision_load() -> torch.library.Library | None:
    """Declares the operators that importing torchvision looks up, if its compiled part cannot be loaded.

    PyPI's torchvision is compiled for CUDA. With a CPU build of torch that part does not load, and the import fails on
    the missing names, although resizing needs none of them. Returns None if there is nothing to declare.
    """
    try:
        import torchvision  # noqa: F401
    except ImportError:
        return None
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library
    return None
