"""FB-CLIP, the whole path on one screen: tokens -> masks -> views -> attention -> subtraction -> margins.

B images, N = 1 + L tokens (CLS first), C backbone width, D joint embedding, K layers, V views.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.attention import FBAttention
from fbclip.background import background_prototype, subtract_and_project
from fbclip.config import FBCLIPConfig
from fbclip.foreground import foreground_mask
from fbclip.views import make_view

Record = Callable[[str, Tensor], None]


def _ignore(_name: str, _value: Tensor) -> None:
    pass


@dataclass(frozen=True, eq=False)
class HeadOutput:
    """margins (B,N): logit of abnormal − normal a token, CLS first; projected (B,N,D): input of the SCR loss."""

    margins: Tensor
    projected: Tensor

    @property
    def image_margin(self) -> Tensor:
        """(B,)"""
        return self.margins[:, 0]

    @property
    def grid_margin(self) -> Tensor:
        """(B,h,h)"""
        side = round((self.margins.shape[1] - 1) ** 0.5)
        return self.margins[:, 1:].reshape(-1, side, side)


class Head(nn.Module):
    """Everything learned at run time: FB-Attention and the layer weights. Prototypes are an argument."""

    def __init__(self, width: int, config: FBCLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.attention = FBAttention(width, config.attention)
        self.scale_weights = nn.Parameter(torch.ones(config.score.layer_weights))

    def views(self, tokens: Sequence[Tensor], record: Record = _ignore) -> list[Tensor]:
        """K layers of raw tokens (B,N,C) -> K tensors (B,V,N,C); holds no learned parameter."""
        names = self.config.active_views
        if names == ("identity",):
            return [layer.unsqueeze(1) for layer in tokens]
        stacked = []
        previous: Tensor | None = None
        for k, layer in enumerate(tokens):
            mask = foreground_mask(layer, previous, self.config.foreground)
            record(f"layer{k}.foreground_mask", mask)
            made = [make_view(view, layer, mask, self.config.view) for view in names]
            for view, value in zip(names, made, strict=True):
                if view != "identity":
                    record(f"layer{k}.{view}_view", value)
            stacked.append(torch.stack(made, dim=1))
            previous = layer
        return stacked

    def score(
        self, views: Sequence[Tensor], prototypes: Tensor, projection: Tensor, record: Record = _ignore
    ) -> HeadOutput:
        """K tensors (B,V,N,C), prototypes (2,D) [normal, abnormal], projection (C,D) -> margins (B,N)."""
        names, modules = self.config.active_views, self.config.modules
        attended: list[tuple[int, Tensor]] = []
        for k, layer in enumerate(views):
            b, v = layer.shape[:2]
            out = self.attention(layer.flatten(0, 1)).unflatten(0, (b, v)) if modules.mvfbe else layer
            for index, name in enumerate(names):
                record(f"layer{k}.attended_{name}", out[:, index])
                attended.append((k, out[:, index]))
        background: Tensor | None = None
        if modules.background_subtraction:
            background = background_prototype([a for _, a in attended])
            record("background.prototype", background)
        weights = self.scale_weights.softmax(dim=0)
        # The 2-way softmax depends on the difference of the two logits only: one dot product, not two.
        direction = (prototypes[1] - prototypes[0]) / self.config.score.temperature
        margins = torch.zeros(attended[0][1].shape[:2], device=direction.device, dtype=direction.dtype)
        projected = attended[0][1]
        for index, (k, features) in enumerate(attended):
            if background is None:
                projected = features @ projection
            else:
                projected = subtract_and_project(features, background, projection)
            record(f"layer{k}.projected_{names[index % len(names)]}", projected)
            margins = margins + weights[k] * (F.normalize(projected, dim=-1) @ direction)
        return HeadOutput(margins, projected)

    def forward(
        self, tokens: Sequence[Tensor], prototypes: Tensor, projection: Tensor, record: Record = _ignore
    ) -> HeadOutput:
        return self.score(self.views(tokens, record), prototypes, projection, record)
