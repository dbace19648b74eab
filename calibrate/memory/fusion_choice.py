"""Zero-shot, memory or both: chosen on defects painted on normal images that no memory and no threshold has seen.

The scales of a fusion come from the normal images that set the statistic; the choice is made by the z that the
verdict will be made of. Real anomalous images are not used: they set or measure the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from calibrate.datasets.sample import Sample
from calibrate.defects.on_images import EVALUATION_KINDS, DefectRequest, Item
from calibrate.errors import RefusedError
from calibrate.inference import ItemTerms, View
from calibrate.memory.fusion_scores import FusionSample, FusionScores, MemoryUse, compare_fusions
from calibrate.statistics.scale import fit_statistic
from fbclip.artefacts.profile import FusionChoice
from fbclip.decision import highest_region
from fbclip.memory.fusion import Fusion, TermScale

RequestedUse = Literal["auto", "zero-shot", "memory", "fused"]
SHARE = 0.9
"""The memory's weight where both are used, for the image's number and for the map.

On lines generated from materials that the embedded model was not trained on, with 16 images, the mean image AUROC
was 0.938 (half 0.922, memory alone 0.937, zero-shot 0.771), that of the map 0.966 (half 0.955, memory 0.967, zero-shot
0.918); on families whose images vary much 0.690 (0.682, 0.690, 0.615) and 0.896 (0.870, 0.892, 0.847).
"""
PAINTED_EACH, MAX_PAINTED = 4, 200
"""Painted images of each normal one, every one with another kind of defect, and in all."""


@dataclass(frozen=True)
class ChosenFusion:
    """fusion: None for zero-shot alone; scores: what it was chosen by, None where there was no choice."""

    fusion: Fusion | None
    scores: FusionScores | None = None

    @property
    def use(self) -> MemoryUse:
        return "zero-shot" if self.fusion is None else self.fusion.use

    @property
    def record(self) -> FusionChoice | None:
        """The scores for the profile; None where there was no choice."""
        scores = self.scores
        if scores is None:
            return None
        return FusionChoice(
            chosen=self.use,
            n_good=scores.n_normal,
            n_painted=scores.n_painted,
            auroc={**scores.auroc},
            error={**scores.error},
        )

    @property
    def text(self) -> str:
        """One line: what was chosen, and the scores it was chosen by."""
        scores = self.scores
        if scores is None:
            return f"memory use: {self.use}, as asked for"
        aurocs = ", ".join(f"{use} {value:.3f}" for use, value in scores.auroc.items())
        return (
            f"memory use: {self.use}, chosen on {scores.n_painted} defects painted on {scores.n_normal} normal "
            f"images; synthetic AUROC: {aurocs}"
        )


def fit_fusion(view: View, scale: Sequence[Sample], use: RequestedUse, min_area: int, pixel_only: bool) -> ChosenFusion:
    """The fusion of a line from the normal images that set its statistic; raises as `choose_fusion` does."""
    if use == "zero-shot":
        return ChosenFusion(None)
    scales = term_scales(normal_samples(view, scale), min_area)

    def samples() -> Iterator[FusionSample]:
        # Read a second time rather than kept: the maps of a hundred images are large.
        yield from normal_samples(view, scale)
        yield from painted_samples(view, scale)

    return choose_fusion(scales, samples, use, min_area, pixel_only)


def choose_fusion(
    scales: Fusion,
    samples: Callable[[], Iterable[FusionSample]],
    use: RequestedUse,
    min_area: int,
    pixel_only: bool,
) -> ChosenFusion:
    """`use`, and for auto what tells the samples apart best by the AUROC of z, see `FusionScores.best`.

    Raises RefusedError where there is a choice and no painted image to make it by.
    """
    fusions: dict[MemoryUse, Fusion | None] = {"zero-shot": None, "memory": scales, "fused": fused(scales)}
    if use != "auto":
        return ChosenFusion(fusions[use])
    scores = compare_fusions(fusions, samples(), min_area, pixel_only)
    return ChosenFusion(fusions[scores.best], scores)


def term_scales(normal: Iterable[FusionSample], min_area: int) -> Fusion:
    """Scales of both opinions on normal images, as a fusion by the memory alone.

    The scale of a map is that of the highest level at which a region of `min_area` map pixels survives, since that is
    what a map alarms by. Raises RefusedError for no images, or a mask that leaves no such region.
    """
    rows = []
    for sample in normal:
        terms = sample.terms
        if terms.distance_image is None or terms.distance_map is None:
            raise ValueError("the scales of a fusion need the distances of a memory")
        levels = [highest_region(values, min_area, sample.ignore) for values in (terms.map, terms.distance_map)]
        rows.append((terms.margin, terms.distance_image, *levels))
    if not rows:
        raise RefusedError("no normal units are left for the scales of the fusion")
    found = np.array(rows, np.float64)
    if not np.isfinite(found).all():
        raise RefusedError("the ignore mask leaves no region of the smallest area to be judged; mask less")
    zero_shot = fit_statistic(found[:, 0], found[:, 2], pixel_only=False)
    memory = fit_statistic(found[:, 1], found[:, 3], pixel_only=False)
    return Fusion(
        use="memory",
        image_share=1,
        map_share=1,
        zero_shot_image=TermScale(centre=zero_shot.a, spread=zero_shot.b),
        memory_image=TermScale(centre=memory.a, spread=memory.b),
        zero_shot_map=TermScale(centre=zero_shot.a2, spread=zero_shot.b2),
        memory_map=TermScale(centre=memory.a2, spread=memory.b2),
    )


def fused(scales: Fusion) -> Fusion:
    """Both opinions on the same scales."""
    return scales.model_copy(update={"use": "fused", "image_share": SHARE, "map_share": SHARE})


def plain_distances() -> Fusion:
    """The memory's distances as they are: they rank images without any scale."""
    unit = TermScale(centre=0, spread=1)
    return Fusion(
        use="memory",
        image_share=1,
        map_share=1,
        zero_shot_image=unit,
        memory_image=unit,
        zero_shot_map=unit,
        memory_map=unit,
    )


def normal_samples(view: View, samples: Sequence[Sample]) -> Iterator[FusionSample]:
    """Every sample as it is. Unusable ones are passed over, here and below: scoring the same images names them."""
    return _fusion_samples(view, map(Item, samples))


def painted_samples(view: View, samples: Sequence[Sample]) -> Iterator[FusionSample]:
    """PAINTED_EACH versions of each sample, fewer where that is more than MAX_PAINTED; the same ones every time."""
    each = min(PAINTED_EACH, max(1, MAX_PAINTED // max(1, len(samples))))
    chosen = samples[:: -(-len(samples) // MAX_PAINTED)] if samples else samples
    return _fusion_samples(view, (Item(s, painted_with(s, k)) for s in chosen for k in range(each)))


def painted_with(sample: Sample, number: int) -> DefectRequest:
    """Defect `number` of an image: the kinds take turns, the seed comes from the file's bytes."""
    kind = EVALUATION_KINDS[number % len(EVALUATION_KINDS)]
    return DefectRequest((kind,), (int(sample.sha256[:8], 16), number))


def _fusion_samples(view: View, items: Iterable[Item]) -> Iterator[FusionSample]:
    for one in view.terms(items):
        if isinstance(one, ItemTerms):
            item = one.framed.item
            yield FusionSample(item.sample.unit, item.anomalous, one.terms, one.framed.framed.ignore)
