"""The vision tower never holds a matrix of every patch with every other; one frame of a still image is enough."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from qwen2vl_demo.config import VisionConfig
from qwen2vl_demo.model.vision import VisionTransformer

CONFIG = VisionConfig(depth=2, embed_dim=32, num_heads=2, mlp_ratio=4, out_dim=32)


class LargestTensor(TorchDispatchMode):
    """The most numbers in any tensor that any operation gave."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return out


@torch.no_grad()
def largest(grids):
    tower = VisionTransformer(CONFIG).eval()
    patches = torch.zeros(sum(t * h * w for t, h, w in grids), 1176)
    with LargestTensor() as seen:
        tower(patches, grids)
    return seen.numbers, len(patches)


@pytest.mark.parametrize(
    "grids",
    [
        [(1, 64, 64)],
        [(1, 40, 40), (1, 40, 40), (1, 40, 40)],
        [(1, 48, 64), (1, 30, 30), (1, 20, 44)],
        [(3, 36, 36), (1, 20, 20)],
    ],
    ids=["one picture", "equal pictures", "unequal pictures", "a clip and a picture"],
)
def test_the_largest_tensor_is_the_mlps_and_not_an_attention_matrix(grids):
    """The widest activation of a patch is 4 * 32 = 128 numbers. One head's attention of the smallest case's 3676
    patches would be 3676^2 = 13.5 million, over a hundred times the 0.47 million of the MLP."""
    numbers, patches = largest(grids)
    assert numbers == patches * CONFIG.mlp_dim
    assert patches**2 > 20 * numbers


def test_an_attention_matrix_would_be_seen():
    with LargestTensor() as seen:
        q = torch.zeros(1, 100, 8)
        (q @ q.transpose(1, 2)).softmax(-1)
    assert seen.numbers == 100 * 100


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-6), (torch.bfloat16, 0.01)])
def test_a_still_image_may_come_with_one_of_its_two_equal_frames(dtype, most):
    """x W0 + x W1 = x (W0 + W1), up to rounding: 2^-24 a sum in float32; 2^-9 a weight and a result in bfloat16."""
    torch.manual_seed(0)
    embed = VisionTransformer(CONFIG).patch_embed.to(dtype)
    once = torch.randn(50, 3, 1, 196, dtype=dtype)
    whole = embed(once.expand(-1, -1, 2, -1).flatten(1))
    pixels = once[:, :, 0].mT.flatten(1)  # (N, p p C)
    assert float((embed(pixels) - whole).float().norm() / whole.float().norm()) < most
