"""The semantic and spatial views of one layer, in fast forms that equal the definitions. Section 4 of the method.

Neither form holds a learned parameter. CLS passes through unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fbclip.config import View, ViewConfig
from fbclip.foreground import patch_cls_cosine


def make_view(view: View, tokens: Tensor, mask: Tensor, config: ViewConfig) -> Tensor:
    """Tokens (B,N,C) and foreground mask (B,L) -> view (B,N,C)."""
    if view == "semantic":
        return semantic_view(tokens, mask, config)
    if view == "spatial":
        return spatial_view(tokens, mask, config)
    return tokens


def semantic_view(tokens: Tensor, mask: Tensor, config: ViewConfig) -> Tensor:
    """(B,N,C), (B,L) -> (B,N,C) in O(L·C).

    The mask takes two values, 1 and v, so the softmax over all patches collapses to the sums S1, S0 and counts
    n1, n0 of the two groups. Exponents are bounded by 2, so nothing can overflow.
    """
    cls, patches = tokens[:, :1], tokens[:, 1:]
    p = mask.unsqueeze(-1)  # (B,L,1)
    is_fore = p == 1.0
    v = mask.amin(dim=1, keepdim=True).unsqueeze(-1)  # (B,1,1); 1 where all is foreground, then n0 = 0
    fore = is_fore.to(patches.dtype)
    n1 = fore.sum(dim=1, keepdim=True)
    n0 = patches.shape[1] - n1
    s1 = (patches * fore).sum(dim=1, keepdim=True)  # (B,1,C)
    s0 = patches.sum(dim=1, keepdim=True) - s1
    cos = patch_cls_cosine(tokens).unsqueeze(-1)  # (B,L,1)
    a = (1 - cos) * p
    b = cos * (1 - p)
    fall = torch.exp(a * (v - 1))  # e^{a·v} over e^{a}
    fg1 = 1 / (n1 + n0 * fall)
    rise = torch.exp(b * (1 - v))
    bg1 = 1 / (n1 + n0 * rise)
    mix = config.semantic_mix
    alpha = mix * (p * fg1 + (1 - p) * bg1)
    beta = mix * (p * fg1 * fall + (1 - p) * bg1 * rise)
    out = (1 - mix) * patches + alpha * s1 + beta * s0
    return torch.cat((cls, out), dim=1)


def spatial_view(tokens: Tensor, mask: Tensor, config: ViewConfig) -> Tensor:
    """(B,N,C), (B,L) -> (B,N,C) over a square grid of patches; a window's padding takes part as zero tokens.

    Nothing is unfolded: both branches weight the same 25 neighbours, so each shift needs one dot product and
    one weighted add.
    """
    batch, n, width = tokens.shape
    side = round((n - 1) ** 0.5)
    reach = config.spatial_window // 2
    cls = tokens[:, 0]
    patches = tokens[:, 1:].reshape(batch, side, side, width)
    p = mask.reshape(batch, side, side)
    cos = patch_cls_cosine(tokens).reshape(batch, side, side)
    cls_unit = F.normalize(cls, dim=-1)

    back_pull = torch.einsum("bhwc,bc->bhw", patches, cls_unit) * (1 - p)  # s_j
    fore = patches * p.unsqueeze(-1)  # xf_j
    mean = F.avg_pool2d(fore.permute(0, 3, 1, 2), config.spatial_window, stride=1, padding=reach)
    mean = mean.permute(0, 2, 3, 1).contiguous()  # m_i
    fore_sq = fore.square().sum(-1)
    mean_sq = mean.square().sum(-1)

    pad2 = (reach, reach, reach, reach)
    pull_p, p_p, cos_p = F.pad(back_pull, pad2), F.pad(p, pad2), F.pad(cos, pad2)
    fore_sq_p = F.pad(fore_sq, pad2)
    fore_p = F.pad(fore, (0, 0, *pad2))
    shifts = [(dy, dx) for dy in range(config.spatial_window) for dx in range(config.spatial_window)]

    def at(padded: Tensor, dy: int, dx: int) -> Tensor:
        return padded[:, dy : dy + side, dx : dx + side]

    s, r, weight = [], [], []
    for dy, dx in shifts:
        dot = torch.linalg.vecdot(at(fore_p, dy, dx), mean)
        distance = (at(fore_sq_p, dy, dx) - 2 * dot + mean_sq).clamp_min(0).sqrt()
        s.append(at(pull_p, dy, dx))
        r.append((1 - at(cos_p, dy, dx)) * distance)
        weight.append(at(p_p, dy, dx))
    s_all, r_all, p_all = torch.stack(s), torch.stack(r), torch.stack(weight)  # (25,B,h,w)
    back = s_all.softmax(0) * (1 - p_all) / (1 - p_all).sum(0).clamp_min(config.spatial_floor)
    front = r_all.softmax(0) * p_all / p_all.sum(0).clamp_min(config.spatial_floor)
    # Padding has 1 − p = 1 in the sums above, but its token is zero and adds nothing below.
    mixed = (back + front).unsqueeze(-1)
    tokens_p = F.pad(patches, (0, 0, *pad2))
    out = torch.zeros_like(patches)
    for index, (dy, dx) in enumerate(shifts):
        out.addcmul_(mixed[index], at(tokens_p, dy, dx))
    return torch.cat((tokens[:, :1], out.reshape(batch, side * side, width)), dim=1)
