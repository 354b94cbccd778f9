"""How fast this processor multiplies in bfloat16, measured."""

from __future__ import annotations

import time

import torch


def bfloat16_gain(size: int = 256, repeats: int = 20) -> float:
    """How many times faster a CPU multiplies bfloat16 matrices than float32 ones: 6 with AMX, 0.01 on some without.

    The best of several runs that alternate, since other programs may hold up some of them.
    """
    matrices = {dtype: torch.ones(size, size, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(matrices, float("inf"))
    for _ in range(repeats):
        for dtype, matrix in matrices.items():
            begin = time.perf_counter()
            torch.mm(matrix, matrix)
            best[dtype] = min(best[dtype], time.perf_counter() - begin)
    return best[torch.float32] / best[torch.bfloat16]


def bfloat16_row_gain(rows: int = 8192, columns: int = 1536, repeats: int = 5) -> float:
    """How many times faster a CPU multiplies one row by a bfloat16 matrix than by a float32 one.

    Two matrices in turn, 50 MB of float32 each, so that weights come from memory, as in generation.
    """

    def seconds(dtype: torch.dtype) -> float:
        matrices = [torch.ones(rows, columns, dtype=dtype) for _ in range(2)]
        row = torch.ones(1, columns, dtype=dtype)
        best = float("inf")
        for repeat in range(repeats + 1):
            begin = time.perf_counter()
            torch.nn.functional.linear(row, matrices[repeat % 2])
            best = min(best, time.perf_counter() - begin) if repeat else best  # the first run is a warm-up
        return best

    return seconds(torch.float32) / seconds(torch.bfloat16)
