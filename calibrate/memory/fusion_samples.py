"""Normal images, and the same with painted defects, through the detector: what a fusion is chosen on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.datasets.sample import Sample
from calibrate.defects.on_images import JUDGE_KINDS
from calibrate.inference import BATCH, read_usable
from calibrate.memory.fusion_choice import Chosen, Use, choose_fusion, term_scales
from calibrate.memory.fusion_selection import FusionSample
from calibrate.tuning.images import Painted, paint_item
from fbclip.detector import Detector, Job
from fbclip.errors import ImageError
from fbclip.images.framing import Framed, Framing
from fbclip.memory.fusion import Terms

PAINTED_EACH, MAX_PAINTED = 4, 200
"""Painted images of each normal one, every one with another kind of defect, and in all."""


@dataclass(frozen=True, eq=False)
class Viewer:
    """Images as one line sees them; `memory` is the id of one that the detector has. Unusable ones are passed over,
    since scoring the same images names them."""

    detector: Detector
    adapter: str
    memory: str
    framing: Framing

    def normal(self, samples: Sequence[Sample]) -> Iterator[FusionSample]:
        """Every sample as it is."""
        yield from self._shown((sample, None) for sample in samples)

    def painted(self, samples: Sequence[Sample]) -> Iterator[FusionSample]:
        """PAINTED_EACH versions of each sample, fewer where that is more than MAX_PAINTED; the same ones every time."""
        each = min(PAINTED_EACH, max(1, MAX_PAINTED // max(1, len(samples))))
        chosen = samples[:: -(-len(samples) // MAX_PAINTED)] if samples else samples
        yield from self._shown((s, painted_with(s, k)) for s in chosen for k in range(each))

    def _shown(self, items: Iterator[tuple[Sample, Painted | None]]) -> Iterator[FusionSample]:
        chunk: list[tuple[Sample, Painted | None, Framed]] = []
        for sample, painted in items:
            framed = self._framed(sample, painted)
            if framed is not None:
                chunk.append((sample, painted, framed))
            if len(chunk) == BATCH:
                yield from self._judged(chunk)
                chunk = []
        yield from self._judged(chunk)

    def _framed(self, sample: Sample, painted: Painted | None) -> Framed | None:
        try:
            image = read_usable(sample.path)
            framed = self.detector.frame(image, self.framing)
            if painted is None:
                return framed
            image, mask = paint_item(image, painted, framed.placement)
            seen = mask if self.framing.mask is None else mask & ~self.framing.mask
            # A defect below the ignore mask is none.
            return self.detector.frame(image, self.framing) if 2 * seen.sum() > mask.sum() else None
        except (ImageError, OSError):
            return None

    def _judged(self, chunk: Sequence[tuple[Sample, Painted | None, Framed]]) -> Iterator[FusionSample]:
        sigma = self.detector.smoothing[self.adapter]
        jobs = [Job(f.tiles, self.adapter, sigma, self.framing.tiling, self.memory) for _, _, f in chunk]
        for (sample, painted, framed), terms in zip(chunk, self.detector.infer_terms(jobs), strict=True):
            if _finite(terms):
                yield FusionSample(sample.unit, painted is not None, terms, framed.ignore)


def _finite(terms: Terms) -> bool:
    numbers = (terms.margin, terms.distance_image, terms.map, terms.distance_map)
    return all(value is not None and bool(np.isfinite(value).all()) for value in numbers)


def painted_with(sample: Sample, number: int) -> Painted:
    """Defect `number` of an image: its kind goes round, its seed comes from the file's bytes."""
    kind = JUDGE_KINDS[number % len(JUDGE_KINDS)]
    return Painted((kind,), (int(sample.sha256[:8], 16), number))


def fit_fusion(viewer: Viewer, scale: Sequence[Sample], use: Use, min_area: int, pixel_only: bool) -> Chosen:
    """The fusion of a line from the normal images that set its statistic."""
    if use == "zero-shot":
        return Chosen(None)
    scales = term_scales(viewer.normal(scale), min_area)

    def shown() -> Iterator[FusionSample]:
        # Looked at twice and not kept: the maps of a hundred images are large.
        yield from viewer.normal(scale)
        yield from viewer.painted(scale)

    return choose_fusion(scales, shown, use, min_area, pixel_only)
