"""What a lower precision does to a line's images, beside float32.

The foreground mask is a hard step: a token near it may flip by rounding and moves the map by more than rounding. So
flips are counted, and the images without one are reported apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from calibrate.datasets.sample import Sample
from calibrate.errors import DataError
from calibrate.metrics.ranking import auroc
from fbclip.artefacts.adapter import Adapter
from fbclip.backbone.config import Precision
from fbclip.backbone.tower import Backbone
from fbclip.backbone.weights import WeightsFile, open_backbone
from fbclip.images.decode import read_image
from fbclip.images.preprocess import preprocess
from fbclip.method.maps import smooth_map
from fbclip.method.model import Head
from fbclip.runtime import set_precision


@dataclass(frozen=True)
class PrecisionEffect:
    """Differences to float32 in logits; `clean` is over the images without a flipped mask token.

    mask_tokens and mask_flips count tokens over all images and feature layers. The AUROC are null where the data
    has one label only.
    """

    precision: str
    pictures: int
    mask_tokens: int
    mask_flips: int
    pictures_with_flips: int
    margin_max: float
    map_max: float
    clean_margin_max: float | None
    clean_map_max: float | None
    auroc_float32: float | None
    auroc: float | None


@dataclass(frozen=True, eq=False)
class _Model:
    backbone: Backbone
    head: Head
    prototypes: Tensor

    @torch.inference_mode()
    def run(self, image: Tensor) -> tuple[float, Tensor, Tensor]:
        """(margin, smoothed map (S,S), masks (K·L,)) of one image (3,S,S)."""
        masks: list[Tensor] = []

        def keep(name: str, value: Tensor) -> None:
            if name.endswith("foreground_mask"):
                masks.append(value.flatten())

        device = self.backbone.projection.device
        config = self.head.config
        found = self.backbone(image[None].to(device), config.layers)
        tokens = dict(zip(config.layers, found, strict=True))
        out = self.head.predict(tokens, self.prototypes, self.backbone.projection, keep)
        score = config.score
        drawn = smooth_map(out.grid_margin, self.backbone.image_size, score.smoothing_sigma, score.smoothing_truncate)
        return out.image_margin.item(), drawn[0].cpu(), torch.cat(masks).cpu() if masks else torch.empty(0)


def _model(weights: WeightsFile, adapter: Adapter, device: torch.device, precision: Precision) -> _Model:
    backbone, _ = open_backbone(weights, adapter.manifest.method.image_size)
    head = adapter.head().to(device)
    set_precision(backbone, [head], precision)
    return _Model(backbone.to(device), head, adapter.prototypes.to(device))


def precision_effect(
    weights: WeightsFile,
    adapter: Adapter,
    samples: Sequence[Sample],
    precision: Precision,
    device: torch.device,
    advance: Callable[[], None],
) -> PrecisionEffect:
    """Every sample in both precisions; raises ImageError or OSError for one that cannot be read, DataError for none."""
    if not samples:
        raise DataError("no images to compare precisions on")
    exact, lower = (_model(weights, adapter, device, p) for p in ("float32", precision))
    rows, tokens = [], 0
    for sample in samples:
        image = preprocess(read_image(sample.path).image, exact.backbone.image_size)
        (margin, drawn, mask), (low_margin, low_drawn, low_mask) = exact.run(image), lower.run(image)
        flips = int((mask != low_mask).sum())
        tokens += len(mask)
        rows.append((margin, low_margin, (drawn - low_drawn).abs().max().item(), flips))
        advance()
    table = np.array(rows)
    delta, flipped = np.abs(table[:, 0] - table[:, 1]), table[:, 3] > 0
    known = np.array([s.label is not None for s in samples])
    labels = np.array([bool(s.label) for s in samples])[known]
    return PrecisionEffect(
        precision=precision,
        pictures=len(samples),
        mask_tokens=tokens,
        mask_flips=int(table[:, 3].sum()),
        pictures_with_flips=int(flipped.sum()),
        margin_max=float(delta.max()),
        map_max=float(table[:, 2].max()),
        clean_margin_max=float(delta[~flipped].max()) if (~flipped).any() else None,
        clean_map_max=float(table[~flipped, 2].max()) if (~flipped).any() else None,
        auroc_float32=auroc(table[known, 0], labels),
        auroc=auroc(table[known, 1], labels),
    )
