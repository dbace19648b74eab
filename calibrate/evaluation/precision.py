"""What a lower precision does to a line's images, beside float32.

The foreground mask is a hard step: a token near it may flip by rounding and moves the map by more than rounding. So
flips are counted, and the images without one are reported apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from calibrate.datasets.sample import Sample
from calibrate.defects.on_images import Item
from calibrate.errors import DataError
from calibrate.inference import Skips, frame_item
from calibrate.metrics.ranking import auroc
from fbclip.artefacts.adapter import Adapter
from fbclip.backbone.config import Precision
from fbclip.backbone.tower import Backbone
from fbclip.backbone.weights import WeightsFile, open_backbone
from fbclip.frozen import Frozen
from fbclip.images.framing import Framed, Framing, frame_image
from fbclip.images.geometry import RgbImage
from fbclip.method.maps import smooth_map
from fbclip.method.model import Head
from fbclip.runtime import set_precision


class PrecisionEffect(Frozen):
    """Differences to float32 in logits; `clean` is over the images without a flipped mask token.

    mask_tokens and mask_flips count tokens over all images and feature layers. The AUROC are null where the data
    has one label only.
    """

    precision: Precision
    images: int = Field(serialization_alias="pictures")
    mask_tokens: int
    mask_flips: int
    images_with_flips: int = Field(serialization_alias="pictures_with_flips")
    margin_max: float
    map_max: float
    clean_margin_max: float | None
    clean_map_max: float | None
    auroc_float32: float | None
    auroc: float | None


@dataclass(frozen=True, eq=False)
class _Output:
    """margin: logit; map: smoothed margins (S,S); foreground: foreground masks of all layers, (K·L,)."""

    margin: float
    map: Tensor
    foreground: Tensor


@dataclass(frozen=True, eq=False)
class _Model:
    backbone: Backbone
    head: Head
    prototypes: Tensor

    def frame(self, image: RgbImage) -> Framed:
        return frame_image(image, Framing(), self.backbone.image_size, self.backbone.config.patch_size)

    @torch.inference_mode()
    def run(self, image: Tensor) -> _Output:
        """One image (1,3,S,S)."""
        masks: list[Tensor] = []

        def keep(name: str, value: Tensor) -> None:
            if name.endswith("foreground_mask"):
                masks.append(value.flatten())

        device = self.backbone.projection.device
        config = self.head.config
        found = self.backbone(image.to(device), config.layers)
        tokens = dict(zip(config.layers, found, strict=True))
        out = self.head.predict(tokens, self.prototypes, self.backbone.projection, keep)
        score = config.score
        maps = smooth_map(out.grid_margin, self.backbone.image_size, score.smoothing_sigma, score.smoothing_truncate)
        foreground = torch.cat(masks).cpu() if masks else torch.empty(0)
        return _Output(out.image_margin.item(), maps[0].cpu(), foreground)


@dataclass(frozen=True)
class _Pair:
    """One image in both precisions: margins, the largest difference of the maps, mask tokens and how many flipped."""

    label: bool | None
    margin: float
    low_margin: float
    map_difference: float
    tokens: int
    flips: int


def _model(weights: WeightsFile, adapter: Adapter, device: torch.device, precision: Precision) -> _Model:
    backbone, _ = open_backbone(weights, adapter.manifest.fbclip.image_size)
    head = adapter.head().to(device)
    set_precision(backbone, [head], precision)
    return _Model(backbone.to(device), head, adapter.prototypes.to(device))


def precision_effect(
    weights: WeightsFile,
    adapter: Adapter,
    samples: Sequence[Sample],
    precision: Precision,
    device: torch.device,
    skips: Skips,
    advance: Callable[[], None] = lambda: None,
) -> PrecisionEffect:
    """Every sample in both precisions; those that cannot be judged go to `skips`. Raises DataError if none is left."""
    exact, lower = (_model(weights, adapter, device, p) for p in ("float32", precision))
    pairs = []
    for item in skips.rest(frame_item(Item(sample), exact.frame) for sample in samples):
        tiles = item.framed.network_input
        pairs.append(_pair(item.item.sample.label, exact.run(tiles), lower.run(tiles)))
        advance()
    if not pairs:
        raise DataError("no images to compare precisions on")
    return _effect(precision, pairs)


def _pair(label: bool | None, exact: _Output, lower: _Output) -> _Pair:
    return _Pair(
        label,
        exact.margin,
        lower.margin,
        (exact.map - lower.map).abs().max().item(),
        len(exact.foreground),
        int((exact.foreground != lower.foreground).sum()),
    )


def _effect(precision: Precision, pairs: Sequence[_Pair]) -> PrecisionEffect:
    clean = [pair for pair in pairs if not pair.flips]
    labelled = [pair for pair in pairs if pair.label is not None]
    labels = np.array([pair.label for pair in labelled], np.bool_)
    return PrecisionEffect(
        precision=precision,
        images=len(pairs),
        mask_tokens=sum(pair.tokens for pair in pairs),
        mask_flips=sum(pair.flips for pair in pairs),
        images_with_flips=len(pairs) - len(clean),
        margin_max=max(abs(pair.margin - pair.low_margin) for pair in pairs),
        map_max=max(pair.map_difference for pair in pairs),
        clean_margin_max=max((abs(pair.margin - pair.low_margin) for pair in clean), default=None),
        clean_map_max=max((pair.map_difference for pair in clean), default=None),
        auroc_float32=auroc(np.array([pair.margin for pair in labelled]), labels),
        auroc=auroc(np.array([pair.low_margin for pair in labelled]), labels),
    )
