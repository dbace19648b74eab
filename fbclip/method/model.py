"""FB-CLIP, the whole path on one screen: tokens -> mask -> views -> attention -> background subtraction -> margins.

B images, N = 1 + L tokens (CLS first), C backbone width, D joint embedding, K layers, V views.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.backbone.config import STEM
from fbclip.method.attention import FBAttention
from fbclip.method.background import background_prototype, subtract_and_project
from fbclip.method.config import ContrastConfig, FBCLIPConfig, View
from fbclip.method.contrast import contrast_logits
from fbclip.method.foreground import foreground_mask
from fbclip.method.stacked import StackedLayer, StackedWeights
from fbclip.method.views import LayerViews, layer_views

Record = Callable[[str, Tensor], None]
"""Takes every intermediate by its name in a golden case; most callers want none."""


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
        return _square(self.margins[:, 1:])


@dataclass(frozen=True, eq=False)
class AttendedView:
    """What FB-Attention makes of one view: tokens (B,N,C); `layer` counts the feature layers from 0."""

    layer: int
    view: View
    tokens: Tensor


class Head(nn.Module):
    """Everything learned at run time: FB-Attention and the layer weights. Prototypes are an argument."""

    def __init__(self, width: int, config: FBCLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.attention = FBAttention(width, config.attention)
        self.scale_weights = nn.Parameter(torch.ones(config.score.layer_weights))

    def forward(
        self, tokens: Sequence[Tensor], prototypes: Tensor, projection: Tensor, record: Record | None = None
    ) -> HeadOutput:
        """K layers of raw tokens (B,N,C), prototypes (2,D) [normal, abnormal], projection (C,D) -> margins (B,N)."""
        return self.score(self.views(tokens, record), prototypes, projection, record)

    def views(self, tokens: Sequence[Tensor], record: Record | None = None) -> Iterator[LayerViews]:
        """Tokens -> mask -> views, one layer at a time so that only one is in memory; nothing here is learned."""
        names = self.config.active_views
        previous: Tensor | None = None
        for k, layer in enumerate(tokens):
            if names == ("identity",):
                # The mask would serve no view.
                yield LayerViews(layer, {"identity": layer})
                continue
            mask = foreground_mask(layer, previous, self.config.foreground)
            views = layer_views(layer, mask, names, self.config.view)
            previous = layer
            if record is not None:
                record(f"layer{k}.foreground_mask", mask)
                for name in views.views:
                    record(f"layer{k}.{name}_view", views.of(name))
            yield views

    def attend(self, views: Iterable[LayerViews], record: Record | None = None) -> list[AttendedView]:
        """Views -> attention, layer by layer; without MVFBE the tokens as they are."""
        if not self.config.modules.mvfbe:
            return [AttendedView(k, "identity", layer.tokens) for k, layer in enumerate(views)]
        weights = self.attention.stacked_weights()
        attended: list[AttendedView] = []
        for k, layer in enumerate(views):
            attended += self._attend_layer(k, layer, weights)
        if record is not None:
            for one in attended:
                record(f"layer{one.layer}.attended_{one.view}", one.tokens)
        return attended

    def _attend_layer(self, k: int, layer: LayerViews, weights: StackedWeights) -> list[AttendedView]:
        stacked = StackedLayer(layer, weights)
        return [AttendedView(k, name, self.attention(stacked.of(name), weights)) for name in layer.views]

    def score(
        self, views: Iterable[LayerViews], prototypes: Tensor, projection: Tensor, record: Record | None = None
    ) -> HeadOutput:
        """Attention -> background subtraction -> margins."""
        return self.compare(self.attend(views, record), prototypes, projection, record)

    def compare(
        self, attended: Sequence[AttendedView], prototypes: Tensor, projection: Tensor, record: Record | None = None
    ) -> HeadOutput:
        """Background subtraction -> margins: Σ over layers and views of w_layer·cos(F',T)/temperature."""
        background: Tensor | None = None
        if self.config.modules.background_subtraction:
            background = background_prototype([one.tokens for one in attended])
        if record is not None and background is not None:
            record("background.prototype", background)
        weights = self.scale_weights.softmax(dim=0)
        # The 2-way softmax depends on the difference of the two logits only: one dot product, not two.
        direction = (prototypes[1] - prototypes[0]) / self.config.score.temperature
        projected = attended[0].tokens
        margins = torch.zeros(projected.shape[:2], device=direction.device, dtype=direction.dtype)
        for one in attended:
            projected = subtract_and_project(one.tokens, background, projection)
            length = torch.linalg.vector_norm(projected, dim=-1).clamp_min(1e-12)
            margins = margins + (projected @ direction) / length * weights[one.layer]
            if record is not None:
                record(f"layer{one.layer}.projected_{one.view}", projected)
        return HeadOutput(margins, projected)

    def predict(
        self, layers: Mapping[int, Tensor], prototypes: Tensor, projection: Tensor, record: Record | None = None
    ) -> HeadOutput:
        """At least the layers of `config.layers`, as a backbone gives them -> what an image is judged by."""
        tokens = [layers[layer] for layer in self.config.feature_layers]
        return self.add_contrast(self(tokens, prototypes, projection, record), layers)

    def add_contrast(self, output: HeadOutput, layers: Mapping[int, Tensor]) -> HeadOutput:
        """`output`, its map with the contrast within the image where the method asks for it; it is not learned.

        The image's own number stays: on families whose normal images are busy, contrast spoilt it.
        """
        if not self.config.contrast.weight:
            return output
        gain = contrast_gain(layers[STEM], output.margins.shape[1] - 1, self.config.contrast)
        return HeadOutput(output.margins + F.pad(gain.flatten(1), (1, 0)), output.projected)


def contrast_gain(stem: Tensor, patches: int, config: ContrastConfig) -> Tensor:
    """Stem tokens (B,M,F) -> what the margins of so many patches gain, (B,h,h); a stem may be finer than they are."""
    return F.adaptive_avg_pool2d(_square(contrast_logits(stem, config)), math.isqrt(int(patches)))


def _square(values: Tensor) -> Tensor:
    """(B,n·n) -> (B,n,n)"""
    side = math.isqrt(int(values.shape[1]))
    return values.reshape(-1, side, side)
