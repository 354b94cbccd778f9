"""Where untrusted files are decoded: in this process, or in worker processes with limits that can be killed.

`Decoding` is handed to whatever opens files. The command line and users of the library take `InProcess`, since the
files are their own; the page takes worker processes, since its files are strangers'.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from qwen2vl_demo.decoding.protocol import Decoding, InProcess, TooCostly

__all__ = ["Decoding", "InProcess", "TooCostly", "decoding_for_strangers"]


BYTES_PER_PIXEL = 11.5  # of a picture of the costliest kind, while it is converted and reduced; measured


def decoding_for_strangers(seconds: float, max_image_mp: int, modules: Sequence[str]) -> Decoding:
    """Worker processes for the functions of these modules, where the system can fork; else this process.

    A file may take `seconds` of processor time, and the memory for a picture of `max_image_mp` million pixels or more.
    """
    if not hasattr(os, "fork"):
        return InProcess()
    from qwen2vl_demo.decoding.worker_processes import MEMORY_BYTES, WorkerProcesses

    memory_bytes = max(MEMORY_BYTES, int(BYTES_PER_PIXEL * 1_000_000 * max_image_mp))
    return WorkerProcesses(seconds=seconds, memory_bytes=memory_bytes, modules=modules)
