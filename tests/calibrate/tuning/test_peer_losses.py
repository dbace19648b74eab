"""The compared methods' losses against plain loops, and a released mistake that is only offered for comparison."""

import math

import pytest
import torch
from torch.nn import functional as F

from calibrate.tuning.peer_losses import (
    afclip_losses,
    alignment,
    anomalyclip_losses,
    faprompt_losses,
    grid_masks,
    pair_sums,
    two_channel_focal,
    two_channels,
)


def patch_alignment(features, masks):
    return alignment(*pair_sums(features, masks), bool((masks == 0).any()))


def test_focal_of_two_channels_is_the_plain_sum():
    torch.manual_seed(0)
    maps = torch.rand(1, 2, 3, 3).softmax(1)
    mask = torch.tensor([[[0, 1, 1], [0, 0, 0], [1, 0, 0]]]).float()
    total = 0.0
    for y in range(3):
        for x in range(3):
            true, other = (maps[0, int(mask[0, y, x]), y, x].item(), maps[0, 1 - int(mask[0, y, x]), y, x].item())
            q = (1 - 1e-5) * true + 1e-5 * other + 1e-5
            total -= (1 - q) ** 2 * math.log(q)
    assert two_channel_focal(maps, mask).item() == pytest.approx(total / 9, rel=1e-5)


def test_patch_alignment_is_the_plain_mean_over_pairs():
    torch.manual_seed(1)
    features, masks = torch.randn(2, 5, 4), torch.tensor([[0, 1, 0, 0.5, 1], [0, 0, 0, 0, 0]])
    different, equal = [], []
    for b in range(2):
        for i in range(5):
            for j in range(5):
                a, c = masks[b, i].item(), masks[b, j].item()
                if 0.5 not in (a, c):
                    similar = F.cosine_similarity(features[b, i], features[b, j], dim=0).item()
                    (equal if a == c else different).append(similar)
    expected = max(0.0, sum(different) / len(different) - sum(equal) / len(equal))
    assert patch_alignment([features], masks).item() == pytest.approx(expected, abs=1e-6)
    # Pairs of different kinds: cosines 1, 0, 0; of one kind, with themselves: 4 times 1, twice −1 and 4 times 0.
    alike = torch.tensor([[[1.0, 0], [2, 0], [0, 1], [0, -1]]])
    assert patch_alignment([alike], torch.tensor([[0.0, 1, 1, 1]])).item() == pytest.approx(1 / 3 - 0.2)
    assert patch_alignment([alike], torch.tensor([[0.0, 0, 1, 1]])) == 0
    assert patch_alignment([alike], torch.ones(1, 4)) == 0
    assert patch_alignment([alike], torch.zeros(1, 4)) == 0


def test_the_released_gradient_differs_on_normal_patches_alone_and_no_value_does():
    torch.manual_seed(2)
    masks = grid_masks((torch.rand(1, 8, 8) > 0.6).float(), 4)
    gradients, totals = [], []
    for released in (False, True):
        grid = torch.linspace(0.05, 0.9, 16).reshape(1, 4, 4).requires_grad_()
        losses = afclip_losses(grid[:, 0, 0], grid, torch.zeros(()), masks, torch.ones(1), released)
        losses[2].backward()
        gradients.append(grid.grad)
        totals.append(losses[2].item())
    assert totals[0] == totals[1]
    p, normal = torch.linspace(0.05, 0.9, 16).reshape(1, 4, 4), masks == 0
    wrong = ((1 + p) / (p * (1 - p)) * p**4 - 8 * p**3 * torch.log(1 - p)) / 16
    assert torch.allclose(gradients[1][normal], wrong[normal], rtol=1e-4)
    assert torch.equal(gradients[0][~normal], gradients[1][~normal])
    assert not torch.allclose(gradients[0][normal], gradients[1][normal], rtol=0.1)


def test_better_maps_cost_less():
    masks, labels = torch.zeros(2, 16, 16), torch.tensor([0.0, 1.0])
    masks[1, 4:12, 4:12] = 1
    right = F.avg_pool2d(masks, 4) * 8 - 4
    margin = torch.tensor([-3.0, 3.0])
    good, bad = (anomalyclip_losses(s * margin, [two_channels(s * right, 16)], masks, labels) for s in (1, -1))
    assert all(g < b for g, b in zip(good, bad, strict=True))
    kinds, bias = torch.eye(3), torch.full((2, 4), 2.0)
    total, pixel, _, _, orthogonal, prior = faprompt_losses(
        two_channels(right, 16), two_channels(right, 16), margin, torch.sigmoid(margin), kinds, bias, masks, labels
    )
    assert (orthogonal.item(), prior.item()) == (0, 4)
    assert total > pixel + prior
