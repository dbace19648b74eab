"""The semantic and spatial views of one layer, in fast forms that equal the definitions. Section 4 of the method.

Neither form holds a learned parameter. CLS passes through unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fbclip.method.config import View, ViewConfig
from fbclip.method.foreground import patch_cls_cosine


@dataclass(frozen=True, eq=False)
class SemanticMix:
    """The semantic view as a linear mix: `keep`·x_i + w_i1·S1 + w_i0·S0 for a patch, CLS as it is.

    weights (B,N,2), 0 for CLS, and sums (B,2,C), of the tokens with mask 1 and of the others. Whatever is linear in
    the tokens can be mixed instead of the tokens.
    """

    keep: float
    weights: Tensor
    sums: Tensor

    def apply(self, values: Tensor, of_sums: Tensor) -> Tensor:
        """values (B,N,P) of the tokens and (B,2,P) of the sums -> (B,N,P) of the view."""
        out = torch.baddbmm(values, self.weights.to(values.dtype), of_sums, beta=self.keep)
        out[:, 0] = values[:, 0]
        return out

    def view(self, tokens: Tensor) -> Tensor:
        """The tokens (B,N,C) that the mix was made of -> the semantic view (B,N,C)."""
        return self.apply(tokens, self.sums)


@dataclass(frozen=True, eq=False)
class LayerViews:
    """One layer's tokens (B,N,C) and its views by name, in their order; the identity view is `tokens` itself."""

    tokens: Tensor
    views: Mapping[View, Tensor | SemanticMix]

    def of(self, name: View) -> Tensor:
        """The tokens (B,N,C) of one view."""
        view = self.views[name]
        return view.view(self.tokens) if isinstance(view, SemanticMix) else view


def layer_views(tokens: Tensor, mask: Tensor, names: Sequence[View], config: ViewConfig) -> LayerViews:
    """Tokens (B,N,C) and their foreground mask (B,L) -> the views that are named."""
    views: dict[View, Tensor | SemanticMix] = {}
    for name in names:
        if name == "identity":
            views[name] = tokens
        elif name == "semantic":
            views[name] = semantic_mix(tokens, mask, config)
        else:
            views[name] = spatial_view(tokens, mask, config)
    return LayerViews(tokens, views)


def semantic_mix(tokens: Tensor, mask: Tensor, config: ViewConfig) -> SemanticMix:
    """Tokens (B,N,C) and mask (B,L) -> the semantic view as a mix, in O(L·C).

    Plainly, with cos_i = cos(t_i, CLS), a_i = (1−cos_i)·p_i and b_i = cos_i·(1−p_i):
    fg_i = Σ_j softmax_j(a_i·p_j)·t_j, bg_i = Σ_j softmax_j(b_i·(1−p_j))·t_j and
    view_i = share·(p_i·fg_i + (1−p_i)·bg_i) + (1−share)·t_i.

    The mask takes two values, 1 and v, so the softmax over all patches collapses to the sums S1, S0 and counts
    n1, n0 of the two groups. Exponents are bounded by 2, so nothing can overflow.
    """
    patches = tokens[:, 1:]
    v = mask.amin(dim=1, keepdim=True)  # (B,1); 1 where all is foreground, then n0 = 0
    fore = (mask == 1.0).to(patches.dtype)
    n1 = fore.sum(dim=1, keepdim=True)
    n0 = patches.shape[1] - n1
    sums = torch.stack((fore, 1 - fore), dim=1) @ patches  # (B,2,C)
    cos = patch_cls_cosine(tokens)  # (B,L)
    a = (1 - cos) * mask
    b = cos * (1 - mask)
    fall = torch.exp(a * (v - 1))  # e^{a·v} over e^{a}
    fg1 = 1 / (n1 + n0 * fall)
    rise = torch.exp(b * (1 - v))
    bg1 = 1 / (n1 + n0 * rise)
    alpha = mask * fg1 + (1 - mask) * bg1
    beta = mask * fg1 * fall + (1 - mask) * bg1 * rise
    weights = config.semantic_mix * torch.stack((alpha, beta), dim=-1)
    return SemanticMix(1 - config.semantic_mix, F.pad(weights, (0, 0, 1, 0)), sums)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """(…,C) twice -> (…); exporters know no operator for it."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return torch.mul(one, other).sum(-1)
    return torch.as_tensor(torch.linalg.vecdot(one, other))


def spatial_view(tokens: Tensor, mask: Tensor, config: ViewConfig) -> Tensor:
    """(B,N,C), (B,L) -> (B,N,C) over a square grid of patches; a window's padding takes part as zero tokens.

    Plainly, over the window of i, with xb_j = (1−p_j)·t_j and xf_j = p_j·t_j, whose mean there is m_i:
    bg_i = Σ_j softmax_j(cos(xb_j, CLS)·‖xb_j‖)·xb_j / Σ_j (1−p_j),
    fg_i = Σ_j softmax_j((1 − cos(xf_j, CLS))·‖xf_j − m_i‖)·xf_j / Σ_j p_j and view_i = fg_i + bg_i.

    Nothing is unfolded: both branches weight the same 25 neighbours, so each shift needs one dot product and
    one weighted add.
    """
    batch, n, width = tokens.shape
    side = math.isqrt(int(n) - 1)
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
    tokens_p = F.pad(patches, (0, 0, *pad2))
    shifts = [(dy, dx) for dy in range(config.spatial_window) for dx in range(config.spatial_window)]

    def at(padded: Tensor, dy: int, dx: int) -> Tensor:
        return padded[:, dy : dy + side, dx : dx + side]

    s, r, weight = [], [], []
    for dy, dx in shifts:
        # ⟨xf_j, m_i⟩ = p_j ⟨t_j, m_i⟩
        dot = _dot(at(tokens_p, dy, dx), mean) * at(p_p, dy, dx)
        distance = (at(fore_sq_p, dy, dx) - 2 * dot + mean_sq).clamp_min(0).sqrt()
        s.append(at(pull_p, dy, dx))
        r.append((1 - at(cos_p, dy, dx)) * distance)
        weight.append(at(p_p, dy, dx))
    s_all, r_all, p_all = torch.stack(s), torch.stack(r), torch.stack(weight)  # (25,B,h,w)
    back = s_all.softmax(0) * (1 - p_all) / (1 - p_all).sum(0).clamp_min(config.spatial_floor)
    front = r_all.softmax(0) * p_all / p_all.sum(0).clamp_min(config.spatial_floor)
    # Padding has 1 − p = 1 in the sums above, but its token is zero and adds nothing below.
    mixed = (back + front).unsqueeze(-1)
    out = torch.zeros_like(patches)
    for index, (dy, dx) in enumerate(shifts):
        out.addcmul_(mixed[index], at(tokens_p, dy, dx))
    return torch.cat((tokens[:, :1], out.reshape(batch, side * side, width)), dim=1)
