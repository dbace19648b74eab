"""Items -> what a training step takes: tokens of the frozen backbone, labels and masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calibrate.defects.painting import Item
from calibrate.tuning.batches import BatchPlan
from calibrate.tuning.cache import TokenCache
from calibrate.tuning.images import Loaded, Loader
from fbclip.backbone.tower import Backbone


class Features:
    """Tokens and masks of `items`; without a cache the backbone runs each time."""

    def __init__(
        self,
        items: Sequence[Item],
        loader: Loader,
        backbone: Backbone,
        layers: tuple[int, ...],
        cache: TokenCache | None,
    ) -> None:
        self.items = items
        self._loader = loader
        self._backbone = backbone
        self._layers = layers
        self._cache = cache
        # A bit a pixel: the masks of 2,000 images are 70 MB at 518 px.
        self._masks: dict[int, NDArray[np.uint8]] = {}

    def fetch(
        self, plan: BatchPlan, turn: np.random.Generator | None = None
    ) -> tuple[list[Tensor], Tensor, Tensor | None]:
        """K tokens (B,N,C), labels (B,), masks (B,S,S) or None; `turn` turns and mirrors the images at random.

        Raises DataError when a file is gone or has changed into none.
        """
        rows, masks = [], []
        for index in plan.indices:
            tokens, mask = self._one(index) if turn is None else self._turned(index, turn)
            rows.append(tokens)
            masks.append(mask)
        labels = torch.tensor([float(self.items[i].anomalous) for i in plan.indices])
        known = torch.stack([m.float() for m in masks if m is not None]) if plan.pixel else None
        return list(torch.stack(rows, dim=1)), labels, known

    def _one(self, index: int) -> tuple[Tensor, Tensor | None]:
        tokens = self._run(index) if self._cache is None else self._cache.get(index, lambda: self._run(index))
        size = self._loader.size
        if index not in self._masks:
            return tokens, None
        bits = np.unpackbits(self._masks[index], count=size * size).astype(bool)
        return tokens, torch.from_numpy(bits.reshape(size, size))

    def _run(self, index: int) -> Tensor:
        loaded = self._loader.load(self.items[index])
        if loaded.mask is not None:
            self._masks[index] = np.packbits(loaded.mask.numpy())
        return self._tokens(loaded.image)

    def _turned(self, index: int, rng: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        loaded = turned(self._loader.load(self.items[index]), rng)
        return self._tokens(loaded.image), loaded.mask

    def _tokens(self, image: Tensor) -> Tensor:
        """(3,S,S) -> (K,N,C). One image at a time: its numbers then do not depend on those beside it."""
        with torch.no_grad():
            layers = self._backbone(image[None].to(self._backbone.projection.device), self._layers)
        return torch.stack([layer[0] for layer in layers]).cpu()


def turned(loaded: Loaded, rng: np.random.Generator) -> Loaded:
    """One of the eight turns and mirror images of the square input and its mask."""
    turns, mirrored = int(rng.integers(0, 4)), bool(rng.random() < 0.5)

    def move(values: Tensor) -> Tensor:
        values = torch.rot90(values, turns, dims=(-2, -1))
        return (values.flip(-1) if mirrored else values).contiguous()

    return Loaded(move(loaded.image), loaded.label, None if loaded.mask is None else move(loaded.mask))
