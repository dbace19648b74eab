"""How much a memory of few normal images is worth: AUROC over their number.

A fifth of the normal training units, within SCALE_UNITS, set the scales and choose the fusion, as `calibrate threshold`
does; memories are made of the others; test images only measure. Every image goes through the model once: what
each memory says of it is computed from its tokens, by the detector's own parts. Test units are drawn again and again
for the intervals, the same draws for every memory of a class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from calibrate.datasets.masks import true_mask
from calibrate.datasets.sample import Sample
from calibrate.datasets.units import split_units
from calibrate.defects.on_images import Item
from calibrate.errors import DataError
from calibrate.few_shot.document import Measure, Method
from calibrate.inference import FramedItem, ItemTerms, View
from calibrate.memory.candidates import memory_tokens
from calibrate.memory.coreset import coreset
from calibrate.memory.fusion_choice import PAINTED_EACH, choose_fusion, fused, painted_with, term_scales
from calibrate.memory.fusion_scores import FusionSample
from calibrate.memory.temporary import SCALE_UNITS
from calibrate.statistics.bootstrap import Floats, count_pairs, draw_weights, weighted_ranking
from fbclip.decision import default_min_area
from fbclip.detector import Detector
from fbclip.images.geometry import BoolMap
from fbclip.memory.bank import Memory, MemoryManifest
from fbclip.memory.features import MemoryConfig, memory_features
from fbclip.memory.fusion import Fusion, Terms, fused_prediction
from fbclip.memory.index import MemoryIndex, image_distance
from fbclip.method.config import ScoreConfig
from fbclip.method.maps import smooth_map
from fbclip.peers.config import FEW_SHOT

COUNTS = (1, 2, 4, 8, 16)
_STRIDE = 4
"""The pixel AUROC takes every fourth row and column; the maps are smooth beyond that."""
_TRUNCATE = ScoreConfig().smoothing_truncate
RESAMPLES = 1000

Draws = Mapping[tuple[Method, Measure], Floats]
"""Of every method and measure (1+RESAMPLES,): as the images are, then of every draw of them."""


@dataclass(frozen=True, eq=False)
class FewShotPoint:
    """A memory of `count` images drawn by `seed`; chosen: the use that auto took.

    draws: AUROC in 0..1 of the test images, NaN where a draw holds no mask. Without any mask there is no pixel measure.
    """

    count: int
    seed: int
    chosen: str
    draws: Draws


class LabelTotals(NamedTuple):
    """How many test images measured."""

    normal: int
    anomalous: int


@dataclass(frozen=True, eq=False)
class _EncodedImage:
    """An image after its one pass: raw tokens (N,C) of each of the memory's layers, and the zero-shot terms."""

    item: Item
    layers: dict[int, Tensor]
    terms: Terms
    mask: BoolMap | None = None

    @property
    def unit(self) -> str:
        return self.item.sample.unit

    @property
    def anomalous(self) -> bool:
        return self.item.anomalous


class FewShotExperiment:
    """The images of one class, encoded once; `points` then makes memories of them."""

    def __init__(
        self,
        detector: Detector,
        adapter: str,
        samples: Sequence[Sample],
        config: MemoryConfig,
        tokens: int,
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Raises DataError without a train split of normal and a test split of normal and anomalous images."""
        self._detector, self._config, self._tokens, self._advance = detector, config, tokens, advance
        self._adapter = adapter
        train = [s for s in samples if s.label is False and s.split == "train"]
        test = [s for s in samples if s.label is not None and s.split == "test"]
        least, most = SCALE_UNITS
        scale, pool = split_units(train, min(most, max(least, len({s.unit for s in train}) // 5)))
        if not pool or len({s.label for s in test}) < 2:
            raise DataError(
                f"few-shot curves take a train split of more than {least} normal units and a test split with normal "
                "and anomalous images"
            )
        self._pool = list(self._encode(map(Item, pool)))
        self._normal = list(self._encode(map(Item, scale)))
        painted = [Item(s, painted_with(s, k)) for s in scale for k in range(PAINTED_EACH)]
        self._painted = list(self._encode(painted))
        self._test = list(self._encode(map(Item, test)))
        self._labels = np.array([image.anomalous for image in self._test])
        if not self._pool or self._labels.all() or not self._labels.any():
            raise DataError("few-shot curves: no normal training, normal test or anomalous test image can be judged")
        self._min_area = default_min_area(detector.backbone_config.patch_size)
        # Seeded by the images, so that two classes are drawn independently.
        rng = np.random.default_rng(int(test[0].sha256[:16], 16))
        weights = draw_weights([image.unit for image in self._test], self._labels, RESAMPLES, rng)
        self._weights = np.concatenate([np.ones((1, len(self._test))), *weights])
        self._zero_shot = self._measure([image.terms for image in self._test], None)

    @property
    def images(self) -> int:
        """Normal images that a memory can be made of."""
        return len(self._pool)

    @property
    def tested(self) -> LabelTotals:
        """Test images that could be judged."""
        return LabelTotals(int((~self._labels).sum()), int(self._labels.sum()))

    def points(self, counts: Iterable[int], seeds: int) -> Iterator[FewShotPoint]:
        """A memory for each count and seed; of all images one, since there is nothing to draw."""
        for count in counts:
            for seed in range(seeds if count < self.images else 1):
                yield self._point(count, seed)

    def _point(self, count: int, seed: int) -> FewShotPoint:
        rows = np.random.default_rng((seed, count)).permutation(self.images)[:count]
        index = MemoryIndex(self._memory([self._pool[row] for row in rows], seed), self._detector.device)
        normal, painted, test = (
            [self._fusion_sample(image, index) for image in part] for part in (self._normal, self._painted, self._test)
        )
        scales = term_scales(normal, self._min_area)
        best = choose_fusion(scales, lambda: [*normal, *painted], "auto", self._min_area, pixel_only=False).use
        terms = [sample.terms for sample in test]
        of_method: dict[Method, dict[Measure, Floats]] = {
            "zero-shot": self._zero_shot,
            "memory": self._measure(terms, scales),
            "fused": self._measure(terms, fused(scales)),
        }
        of_method["chosen"] = of_method[best]
        own = self._own_few_shot([self._pool[row] for row in rows])
        if own is not None:
            of_method["own"] = self._measure(own, None)
        draws = {(method, measure): found for method, of in of_method.items() for measure, found in of.items()}
        return FewShotPoint(count, seed, best, draws)

    def _own_few_shot(self, references: Sequence[_EncodedImage]) -> list[Terms] | None:
        """Terms of the test images by the method's own few-shot form; None where it has none."""
        adapter = self._detector.adapter(self._adapter)
        if adapter.manifest.method_name not in FEW_SHOT:
            return None
        view = View(self._detector, self._adapter)
        framed = [one for one in map(view.framed, (image.item for image in references)) if isinstance(one, FramedItem)]
        tiles = torch.cat([one.framed.network_input for one in framed]).to(self._detector.device)
        digests = [one.item.sample.sha256 for one in framed]
        few = self._detector.remembering(adapter.id, tiles, digests)
        view = View(self._detector.extended([few]), few.id)
        found = [one.terms for one in view.terms(image.item for image in self._test) if isinstance(one, ItemTerms)]
        if len(found) != len(self._test):
            raise DataError(
                f"{adapter.manifest.method_name}: {len(self._test) - len(found)} test images have no number"
            )
        return found

    def _measure(self, test: Sequence[Terms], fusion: Fusion | None) -> dict[Measure, Floats]:
        """`image`: of the image's one number; `pixel`: of the map, left out where no mask is known."""
        predictions = [fused_prediction(terms, fusion) for terms in test]
        margins = np.array([prediction.margin for prediction in predictions])
        measured: dict[Measure, Floats] = {"image": weighted_ranking(margins, self._labels, self._weights).auroc}
        known = [n for n, image in enumerate(self._test) if image.mask is not None]
        masks = [mask[::_STRIDE, ::_STRIDE] for image in self._test if (mask := image.mask) is not None]
        if any(mask.any() for mask in masks):
            maps = [predictions[n].map[::_STRIDE, ::_STRIDE] for n in known]
            measured["pixel"] = count_pairs(maps, masks).auroc(self._weights[:, known])
        return measured

    def _memory(self, images: Sequence[_EncodedImage], seed: int) -> Memory:
        layers = {n: torch.stack([image.layers[n] for image in images]) for n in self._config.layers}
        features = memory_features(layers, self._config).flatten(0, 1)
        tokens, whitening = memory_tokens(features, self._config)
        network = self._detector.network(self._config.features)
        manifest = MemoryManifest(
            backbone=network.name, backbone_sha256=network.sha256, image_size=network.image_size, config=self._config
        )
        side = torch.arange(network.grid)
        positions = torch.cartesian_prod(side, side).to(torch.uint8).repeat(len(images), 1)
        rows = coreset(tokens, self._tokens, seed)
        return Memory(manifest, tokens[rows], positions[rows], whitening)

    def _fusion_sample(self, image: _EncodedImage, index: MemoryIndex) -> FusionSample:
        """What a memory adds to an image's terms."""
        device, sigma = self._detector.device, self._detector.smoothing[self._adapter]
        grid = index.distances({n: layer[None].to(device) for n, layer in image.layers.items()})
        distances = smooth_map(grid, self._detector.size, sigma, _TRUNCATE)[0].cpu().numpy()
        distance = float(image_distance(grid.flatten(1), self._config.farthest)[0])
        terms = Terms(image.terms.margin, image.terms.map, distance, distances)
        return FusionSample(image.unit, image.anomalous, terms)

    def _encode(self, items: Iterable[Item]) -> Iterator[_EncodedImage]:
        """One pass each; images that cannot be judged are passed over."""
        view = View(self._detector, self._adapter)
        for result in view.terms(items, self._advance):
            if isinstance(result, ItemTerms):
                yield self._encoded(result)

    def _encoded(self, result: ItemTerms) -> _EncodedImage:
        item, framed, terms = result.framed.item, result.framed.framed, result.terms
        found = self._detector.memory_layers(framed.network_input, self._config)
        layers = {layer: tokens[0].cpu() for layer, tokens in found.items()}
        shape = (terms.map.shape[0], terms.map.shape[1])
        mask = true_mask(item.sample, framed.placement, shape)
        return _EncodedImage(item, layers, terms, mask)
