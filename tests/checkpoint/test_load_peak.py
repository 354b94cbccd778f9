"""The memory that a process takes at most while it loads the 2B's true shape, from a file that is as large as its own.

Measured in a fresh process each, with Python and PyTorch in it.
"""

import json
import shutil
import struct
import subprocess
import sys
from math import prod
from pathlib import Path

import pytest
import torch

from qwen2vl_demo.memory import free_memory
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.released import RELEASED
from qwen2vl_demo.resources import NANO
from tests.checkpoint.greedy import edit

LOAD = """
import sys
from pathlib import Path
from qwen2vl_demo.engine.local import LocalEngine

engine = LocalEngine.load(sys.argv[1], device="cpu", dtype="bfloat16", quantize=sys.argv[2])
assert engine.model.config.text.num_layers == 28
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) * 1024)
"""
PIECE = 1 << 24  # random numbers, which are repeated: making all of them would take most of the test's time

pytestmark = [
    pytest.mark.large,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs a system that tells a process's peak"),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A checkpoint of the 2B's shape with random bfloat16 weights, and with nano's words."""
    with torch.device("meta"):
        shapes = {name: list(tensor.shape) for name, tensor in Qwen2VL(RELEASED["2B"]).state_dict().items()}
    size = 2 * sum(map(prod, shapes.values()))
    made = tmp_path_factory.mktemp("2b")
    if shutil.disk_usage(made).free < 1.5 * size:
        pytest.skip(f"{made} lacks room for {size / 1e9:.1f} GB of weights")
    if (free := free_memory()) is not None and free < 1.6 * size:
        pytest.skip(f"{free / 1e9:.1f} GB of memory are too few for {size / 1e9:.1f} GB of weights")
    for file in NANO.glob("*.json"):
        shutil.copy(file, made)
    words = {key: value for key, value in json.loads((NANO / "config.json").read_text()).items() if "_token_id" in key}
    edit(made, **RELEASED["2B"].to_dict())
    edit(made, **words)
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    noise = torch.randn(PIECE, generator=torch.Generator().manual_seed(0)).mul_(0.02).bfloat16()
    piece = memoryview(noise.view(torch.uint8).numpy())
    with open(made / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        while (left := end + 8 + len(text) - file.tell()) > 0:
            file.write(piece[:left])
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize(("quantize", "most"), [("int4", 3.0e9), ("none", 5.5e9)])
def test_the_peak_of_loading_a_2b(directory, quantize, most):
    command = [sys.executable, "-c", LOAD, str(directory), quantize]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 1e9 < int(done.stdout) < most
