"""What is measured of a processor."""

import time

import torch

from qwen2vl_demo.checkpoint.cpu_speed import bfloat16_gain


def test_what_decides_the_number_format_is_what_a_larger_product_finds_too():
    """`bfloat16_gain` takes a few milliseconds; three vision-sized products in both formats must not contradict it.

    Only a clear answer counts (twice as fast or half as fast), since tests run on busy machines.
    """

    def seconds(dtype):
        x, matrix = torch.ones(784, 1280, dtype=dtype), torch.ones(1280, 1280, dtype=dtype)
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            torch.nn.functional.linear(x, matrix)
            times.append(time.perf_counter() - begin)
        return min(times)

    found, quick = seconds(torch.float32) / seconds(torch.bfloat16), bfloat16_gain()
    if max(found, 1 / found) > 2:
        assert (quick > 1) == (found > 1), (quick, found)
