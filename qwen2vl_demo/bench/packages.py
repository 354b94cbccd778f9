"""Packages that only the bench compares with: what to install, and an import that needs help."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import Any

import torch

from qwen2vl_demo.errors import UserError


def needed(package: str) -> Any:
    """A package that only the bench compares with. Raises UserError that says what to install."""
    if package == "transformers":
        let_torchvision_load()  # transformers imports it wherever it is installed
    try:
        return importlib.import_module(package)
    except ImportError:
        raise UserError(
            f"The bench compares with {package}, which is not installed: pip install -r tests/requirements.txt "
            "(and, for four rows, --no-deps -r qwen2vl_demo/bench/requirements.txt)."
        ) from None


@cache
def let_torchvision_load() -> torch.library.Library | None:
    """Declares the operators that torchvision's import asks for and its compiled part would bring.

    PyPI's torchvision is compiled for CUDA. Beside a CPU build of torch that part does not load, and the import, though
    nothing of it is needed to resize a picture, fails on the missing names. None where they are there already.
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
