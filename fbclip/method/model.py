"""FB-CLIP, the whole path on one screen: tokens -> masks -> views -> attention -> subtraction -> margins (-> contrast).

B images, N = 1 + L tokens (CLS first), C backbone width, D joint embedding, K layers, V views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbclip.backbone.config import STEM
from fbclip.method.attention import Centred, FBAttention, centre
from fbclip.method.background import background_prototype, subtract_and_project
from fbclip.method.config import FBCLIPConfig
from fbclip.method.contrast import contrast_logits
from fbclip.method.foreground import foreground_mask
from fbclip.method.views import SemanticMix, semantic_mix, spatial_view

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


@dataclass(frozen=True, eq=False)
class LayerViews:
    """One layer's tokens (B,N,C) and what the other views need beside them; nothing here is learned."""

    identity: Tensor
    semantic: SemanticMix | None = None
    spatial: Tensor | None = None


class Head(nn.Module):
    """Everything learned at run time: FB-Attention and the layer weights. Prototypes are an argument."""

    def __init__(self, width: int, config: FBCLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.attention = FBAttention(width, config.attention)
        self.scale_weights = nn.Parameter(torch.ones(config.score.layer_weights))

    def views(self, tokens: Sequence[Tensor], record: Record = _ignore) -> Iterator[LayerViews]:
        """K layers of raw tokens (B,N,C) -> their views, one layer at a time so that only one is in memory."""
        names = self.config.active_views
        previous: Tensor | None = None
        for k, layer in enumerate(tokens):
            if names == ("identity",):
                yield LayerViews(layer)
                continue
            mask = foreground_mask(layer, previous, self.config.foreground)
            record(f"layer{k}.foreground_mask", mask)
            previous = layer
            mix = semantic_mix(layer, mask, self.config.view) if "semantic" in names else None
            spatial = spatial_view(layer, mask, self.config.view) if "spatial" in names else None
            if mix is not None:
                record(f"layer{k}.semantic_view", mix.apply(layer, mix.sums))
            if spatial is not None:
                record(f"layer{k}.spatial_view", spatial)
            yield LayerViews(layer, mix, spatial)

    def attend(self, views: Iterable[LayerViews], record: Record = _ignore) -> list[tuple[int, Tensor]]:
        """(layer, attended tokens (B,N,C)) of every layer and view; without MVFBE the tokens as they are."""
        if not self.config.modules.mvfbe:
            return [(k, layer.identity) for k, layer in enumerate(views)]
        front = self.attention.front()
        out: list[tuple[int, Tensor]] = []
        for k, layer in enumerate(views):
            tokens = centre(layer.identity)
            product = front.product(tokens.values)
            for name in self.config.active_views:
                if name == "identity":
                    attended = self.attention(front, product, tokens)
                elif layer.semantic is not None and name == "semantic":
                    mix, sums = layer.semantic, centre(layer.semantic.sums)
                    mixed = Centred(mix.apply(tokens.values, sums.values), mix.apply(tokens.mean, sums.mean))
                    attended = self.attention(front, mix.apply(product, front.product(sums.values)), mixed)
                else:
                    assert layer.spatial is not None
                    spatial = centre(layer.spatial)
                    attended = self.attention(front, front.product(spatial.values), spatial)
                record(f"layer{k}.attended_{name}", attended)
                out.append((k, attended))
            # The next layer's product need not wait beside this one in memory.
            del product, tokens
        return out

    def score(
        self, views: Iterable[LayerViews], prototypes: Tensor, projection: Tensor, record: Record = _ignore
    ) -> HeadOutput:
        """K layers of views, prototypes (2,D) [normal, abnormal], projection (C,D) -> margins (B,N)."""
        attended = self.attend(views, record)
        background: Tensor | None = None
        if self.config.modules.background_subtraction:
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
            record(f"layer{k}.projected_{self.config.active_views[index % len(self.config.active_views)]}", projected)
            length = torch.linalg.vector_norm(projected, dim=-1).clamp_min(1e-12)
            margins = margins + weights[k] * (projected @ direction) / length
        return HeadOutput(margins, projected)

    def forward(
        self, tokens: Sequence[Tensor], prototypes: Tensor, projection: Tensor, record: Record = _ignore
    ) -> HeadOutput:
        return self.score(self.views(tokens, record), prototypes, projection, record)

    def predict(
        self, layers: Mapping[int, Tensor], prototypes: Tensor, projection: Tensor, record: Record = _ignore
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
        gain = F.pad(contrast_logits(layers[STEM], self.config.contrast), (1, 0))
        return HeadOutput(output.margins + gain, output.projected)
