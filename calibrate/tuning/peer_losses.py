"""What the compared methods are trained by, as their released code computes it.

Probabilities of maps are two-channel (B,2,S,S), [normal, abnormal]; masks (B,S,S) and labels (B,) are 0 or 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from calibrate.tuning.losses import dice, focal

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
    static: Tensor | None, adapted: Tensor | None, cls: Tensor, score: Tensor, abnormal: Tensor, bias: Tensor,
    masks: Tensor | None, labels: Tensor,
) -> list[Tensor]:  # fmt: skip
    """Total, pixel, image cross entropy, image focal, orthogonality, prior.

    static, adapted: maps (B,2,S,S), None without masks; cls: margins (B,); score (B,); abnormal: raw static prompts
    (P,D); bias (B,d).
    """
    pixel = cls.new_zeros(())
    if static is not None and adapted is not None and masks is not None:
        pixel = torch.stack(map_losses(static, masks)).sum() + 0.5 * torch.stack(map_losses(adapted, masks)).sum()
    image = class_cross_entropy(cls, labels)
    # The released code takes the score for a logit, though it is a probability.
    bce = F.binary_cross_entropy_with_logits(score, labels.to(score.dtype), reduction="none")
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


def pair_sums(features: Sequence[Tensor], masks: Tensor) -> tuple[Tensor, Tensor]:
    """Of pairs within each image, patches (B,L,D) with labels (B,L): similarities and numbers of them, added up.

    -> (B,F,2) over pairs with different and with equal labels, for each of F `features`; (B,2) how many. A patch that
    is half anomalous is in no pair; each is in one with itself.
    """
    signs = torch.where(masks == 0, -1.0, masks)
    pairs = signs.unsqueeze(2) * signs.unsqueeze(1)
    kinds = torch.stack((pairs == -1, pairs == 1), dim=1).to(masks.dtype)  # (B,2,L,L)
    sums = []
    for one in features:
        unit = F.normalize(one, dim=-1)
        sums.append(((unit @ unit.transpose(1, 2)).unsqueeze(1) * kinds).sum(dim=(2, 3)))
    return torch.stack(sums, dim=1), kinds.sum(dim=(2, 3))


def alignment(sums: Tensor, numbers: Tensor, any_normal: bool) -> Tensor:
    """AF-CLIP's loss over patches, from what `pair_sums` gives of all images: pairs of one kind should be more alike.

    Mean over the features of max(0, mean similarity of pairs with different labels − that of pairs with equal ones).
    """
    counts = numbers.double().sum(dim=0)
    if not any_normal or counts[0] == 0:
        return sums.new_zeros(())
    different, equal = (sums.double().sum(dim=0) / counts).to(sums.dtype).unbind(dim=-1)
    return F.relu(different - equal).mean()


def afclip_losses(
    image: Tensor, grid: Tensor, aligned: Tensor, masks: Tensor, labels: Tensor, released: bool = False
) -> list[Tensor]:
    """Total, focal of the image and of the pixels, L1 of the pixels, patch alignment (from `alignment`).

    image (B,) and grid (B,g,g): probabilities; masks (B,g,g), from `grid_masks`. released: with the gradient that the
    released code has by mistake, for comparing with it; values are the same.
    """
    focal_image, focal_pixel = focal(image, labels), focal(grid, masks)
    if released:
        focal_pixel = focal_pixel + _released_difference(grid, masks)
    l1 = (grid - masks).abs().mean()
    return [focal_image + focal_pixel + l1 + aligned, focal_image, focal_pixel, l1, aligned]


def _released_difference(grid: Tensor, masks: Tensor) -> Tensor:
    """0, whose gradient is what the released code adds on normal patches.

    It sets their labels to −1 in the memory that the focal loss has saved for its backward pass.
    """
    p = grid.detach()
    wrong = (1 + p) / (p * (1 - p)) * p**4 - 8 * p**3 * torch.log1p(-p)
    right = p**4 / (1 - p) - 4 * p**3 * torch.log1p(-p)
    slope = torch.where(masks == 0, (wrong - right) / p.numel(), torch.zeros_like(p))
    return ((grid - p) * slope).sum()
