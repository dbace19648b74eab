"""What the compared methods are trained by, as their released code computes it.

Probabilities of maps are two-channel (B,2,S,S), [normal, abnormal]; masks (B,S,S) and labels (B,) are 0 or 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from calibrate.tuning.training import dice, focal

_SMOOTH = 1e-5
_GAMMA = 2.0


def two_channels(margins: Tensor, size: int) -> Tensor:
    """Grid margins (B,g,g) -> probabilities of both classes, upsampled to S, (B,2,S,S)."""
    both = torch.stack((torch.sigmoid(-margins), torch.sigmoid(margins)), dim=1)
    return F.interpolate(both, size=(size, size), mode="bilinear", align_corners=False)


def two_channel_focal(maps: Tensor, masks: Tensor) -> Tensor:
    """Mean of −(1 − q)² ln q, q the probability of the true class, smoothed by 1e-5."""
    true = torch.where(masks.unsqueeze(1) > 0, maps[:, 1:], maps[:, :1])
    other = torch.where(masks.unsqueeze(1) > 0, maps[:, :1], maps[:, 1:])
    q = (1 - _SMOOTH) * true + _SMOOTH * other + _SMOOTH
    return (-((1 - q) ** _GAMMA) * q.log()).mean()


def map_losses(maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Focal, and dice of the abnormal and of the normal channel."""
    return two_channel_focal(maps, masks), dice(maps[:, 1], masks), dice(maps[:, 0], 1 - masks)


def clipad_losses(maps: Sequence[Tensor], masks: Tensor) -> list[Tensor]:
    """CLIP-AD's linear layers, a map each -> total, focal, dice."""
    focal_sum = torch.stack([two_channel_focal(m, masks) for m in maps]).sum()
    dice_sum = torch.stack([dice(m[:, 1], masks) for m in maps]).sum()
    return [focal_sum + dice_sum, focal_sum, dice_sum]


def class_cross_entropy(margin: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of the two-way logits whose difference is `margin` (B,)."""
    return F.binary_cross_entropy_with_logits(margin, labels)


def anomalyclip_losses(image_margin: Tensor, maps: Sequence[Tensor], masks: Tensor, labels: Tensor) -> list[Tensor]:
    """Total, image cross entropy, focal, dice of the abnormal and of the normal channel; maps: one a layer."""
    parts = [map_losses(m, masks) for m in maps]
    focal_sum, abnormal, normal = (torch.stack(column).sum() for column in zip(*parts, strict=True))
    image = class_cross_entropy(image_margin, labels)
    return [4 * (focal_sum + abnormal + normal) + image, image, focal_sum, abnormal, normal]


def faprompt_losses(
    static: Tensor, adapted: Tensor, cls: Tensor, score: Tensor, abnormal: Tensor, bias: Tensor, masks: Tensor,
    labels: Tensor,
) -> list[Tensor]:  # fmt: skip
    """Total, pixel, image cross entropy, image focal, orthogonality, prior.

    static, adapted: maps (B,2,S,S); cls: margins (B,); score (B,); abnormal: raw static prompts (P,D); bias (B,d).
    """
    pixel = sum(map_losses(static, masks)) + 0.5 * sum(map_losses(adapted, masks))
    image = class_cross_entropy(cls, labels)
    # The released code takes the score for a logit, though it is a probability.
    bce = F.binary_cross_entropy_with_logits(score, labels, reduction="none")
    image_focal = ((1 - torch.exp(-bce)) ** 2 * bce).mean()
    similar = F.normalize(abnormal, dim=-1)
    orthogonality = (similar @ similar.T).abs().triu(1).sum()
    prior = (bias[labels == 0] ** 2).mean(dim=1).sum()
    total = pixel + image + image_focal + 0.1 * orthogonality + prior
    return [torch.as_tensor(part) for part in (total, pixel, image, image_focal, orthogonality, prior)]


def grid_masks(masks: Tensor, side: int) -> Tensor:
    """(B,S,S) -> (B,side,side): bilinear, then 0 or 1; what is exactly half stays."""
    small = F.interpolate(masks.unsqueeze(1), size=(side, side), mode="bilinear", align_corners=False).squeeze(1)
    return torch.where(small < 0.5, 0.0, torch.where(small > 0.5, 1.0, small))


def patch_alignment(features: Sequence[Tensor], masks: Tensor) -> Tensor:
    """AF-CLIP's loss over patches (B,L,D) and their labels (B,L): pairs of one kind should be the more alike ones.

    Mean over `features` of max(0, mean similarity of pairs with different labels − that of pairs with equal ones). A
    patch that is half anomalous is in no pair.
    """
    signs = torch.where(masks == 0, -1.0, masks)
    pairs = signs.unsqueeze(2) * signs.unsqueeze(1)
    different, equal = pairs == -1, pairs == 1
    if not (masks == 0).any() or not different.any():
        return masks.new_zeros(())
    found = []
    for one in features:
        unit = F.normalize(one, dim=-1)
        similar = unit @ unit.transpose(1, 2)
        found.append(F.relu(similar[different].mean() - similar[equal].mean()))
    return torch.stack(found).mean()


def afclip_losses(
    image: Tensor, grid: Tensor, projected: Sequence[Tensor], masks: Tensor, labels: Tensor, released: bool = False
) -> list[Tensor]:
    """Total, focal of the image and of the pixels, L1 of the pixels, patch alignment.

    image (B,) and grid (B,g,g): probabilities; projected: (B,1+L,D) each; masks (B,g,g), from `grid_masks`. released:
    with the gradient that the released code has by mistake, for comparing with it; values are the same.
    """
    focal_image, focal_pixel = focal(image, labels), focal(grid, masks)
    if released:
        focal_pixel = focal_pixel + _released_difference(grid, masks)
    l1 = (grid - masks).abs().mean()
    alignment = patch_alignment([p[:, 1:] for p in projected], masks.flatten(1))
    return [focal_image + focal_pixel + l1 + alignment, focal_image, focal_pixel, l1, alignment]


def _released_difference(grid: Tensor, masks: Tensor) -> Tensor:
    """0, whose gradient is what the released code adds on normal patches.

    It sets their labels to −1 in the memory that the focal loss has saved for its backward pass.
    """
    p = grid.detach()
    wrong = (1 + p) / (p * (1 - p)) * p**4 - 8 * p**3 * torch.log1p(-p)
    right = p**4 / (1 - p) - 4 * p**3 * torch.log1p(-p)
    slope = torch.where(masks == 0, (wrong - right) / p.numel(), torch.zeros_like(p))
    return ((grid - p) * slope).sum()
