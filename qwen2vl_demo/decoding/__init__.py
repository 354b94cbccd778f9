"""Where untrusted files are decoded: in this process, or in worker processes with limits that can be killed.

`Decoding` is handed to whatever opens files. The command line and users of the library take `InProcess`, since the
files are their own; the page takes worker processes, since its files are strangers'.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from qwen2vl_demo.decoding.protocol import Decoding, InProcess

__all__ = ["Decoding", "InProcess", "decoding_for_strangers"]


def decoding_for_strangers(seconds: float, modules: Sequence[str]) -> Decoding:
    """Worker processes for the functions of these modules, where the system can fork; else this process."""
    if not hasattr(os, "fork"):
        return InProcess()
    from qwen2vl_demo.decoding.worker_processes import WorkerProcesses

    return WorkerProcesses(seconds=seconds, modules=modules)
