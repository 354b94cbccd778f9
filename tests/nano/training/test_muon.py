"""Our float32 Muon against torch's, which works in bfloat16."""

import pytest
import torch

from qwen2vl_demo.nano.training.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(24, 64), (64, 24), (32, 32)])
def test_singular_values_come_out_near_one(shape):
    update = orthogonalize(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    values = torch.linalg.svdvals(update)
    assert values.max() < 1.3
    assert values.median() > 0.6


@pytest.mark.parametrize("shape", [(24, 64), (64, 24)])
def test_three_steps_go_where_torchs_muon_goes(shape):
    random = torch.Generator().manual_seed(1)
    start = torch.randn(shape, generator=random) * 0.1
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    mine = Muon([ours], lr=1e-2, weight_decay=0.05)
    reference = torch.optim.Muon([theirs], lr=1e-2, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        ours.grad = torch.randn(shape, generator=random)
        theirs.grad = ours.grad.clone()
        mine.step()
        reference.step()
    moved, expected = (ours - start).detach().flatten(), (theirs - start).detach().flatten()
    assert torch.cosine_similarity(moved, expected, dim=0) > 0.995
    assert moved.norm() == pytest.approx(expected.norm().item(), rel=0.03)
