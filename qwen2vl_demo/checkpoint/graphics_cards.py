"""NVIDIA cards: whether PyTorch can use them, and if not, why; which of them compute in bfloat16."""

from __future__ import annotations

import ctypes
import sys

import torch

# The oldest driver for all minor versions of a CUDA version. NVIDIA, "CUDA Compatibility", minor version compatibility.
OLDEST_DRIVER = {11: "450", 12: "525", 13: "580"}
FIRST_WITH_BFLOAT16 = 8  # major compute capability: Ampere. T4, RTX 20xx (7.5) and V100 (7.0) only emulate it


def why_unusable() -> str | None:
    """Why the NVIDIA card of this machine cannot be used, for people; None where there is no sign of one.

    PyTorch reports a driver that is too old as no card at all.
    """
    driver = driver_cuda_version()
    if driver is None:
        return None
    has = f"{driver // 1000}.{driver % 1000 // 10}"
    needs = torch.version.cuda
    if needs is None:
        return f"this PyTorch ({torch.__version__}) was built without CUDA; install the one for CUDA"
    major = int(needs.split(".")[0])
    if driver // 1000 < major:
        newer = OLDEST_DRIVER.get(major)
        return (
            f"the NVIDIA driver here is for CUDA {has} and this PyTorch needs CUDA {needs}; install "
            + (f"driver {newer} or newer" if newer else "a newer driver")
            + f", or a PyTorch built for CUDA {driver // 1000}"
        )
    return None


def driver_cuda_version() -> int | None:
    """The CUDA version of the installed driver as 1000 x major + 10 x minor; None where there is no driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        version = ctypes.c_int()
        return version.value if driver.cuDriverGetVersion(ctypes.byref(version)) == 0 and version.value else None
    except (OSError, AttributeError):
        return None


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a card multiplies bfloat16 itself. `torch.cuda.is_bf16_supported()` also counts cards that emulate it,
    and asks the current card only."""
    return torch.version.hip is not None or torch.cuda.get_device_properties(device).major >= FIRST_WITH_BFLOAT16
