"""Normal images, and the same with painted defects, through the detector: what a fusion is chosen on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from calibrate.datasets.sample import Sample
from calibrate.defects.on_images import JUDGE_KINDS
from calibrate.defects.painting import Item, Painted
from calibrate.inference import BATCH, FramedItem, ItemTerms, Skipped, View, frame_item
from calibrate.memory.fusion_choice import Chosen, Use, choose_fusion, term_scales
from calibrate.memory.fusion_selection import FusionSample
from fbclip.images.geometry import BoolMap

PAINTED_EACH, MAX_PAINTED = 4, 200
"""Painted images of each normal one, every one with another kind of defect, and in all."""


def normal_samples(view: View, samples: Sequence[Sample]) -> Iterator[FusionSample]:
    """Every sample as it is. Unusable ones are passed over, here and below: scoring the same images names them."""
    yield from _samples(view, map(Item, samples))


def painted_samples(view: View, samples: Sequence[Sample]) -> Iterator[FusionSample]:
    """PAINTED_EACH versions of each sample, fewer where that is more than MAX_PAINTED; the same ones every time."""
    each = min(PAINTED_EACH, max(1, MAX_PAINTED // max(1, len(samples))))
    chosen = samples[:: -(-len(samples) // MAX_PAINTED)] if samples else samples
    yield from _samples(view, (Item(s, painted_with(s, k)) for s in chosen for k in range(each)))


def _samples(view: View, items: Iterable[Item]) -> Iterator[FusionSample]:
    rest = (one for one in (frame_item(item, view.frame) for item in items) if _shows(one, view.framing.mask))
    while chunk := list(islice(rest, BATCH)):
        for one in view.terms_of(chunk):
            if isinstance(one, ItemTerms):
                item = one.framed.item
                yield FusionSample(item.sample.unit, item.anomalous, one.terms, one.framed.framed.ignore)


def _shows(one: FramedItem | Skipped, ignore: BoolMap | None) -> bool:
    """A defect below the ignore mask is none."""
    if isinstance(one, Skipped):
        return False
    return one.mask is None or ignore is None or 2 * int((one.mask & ~ignore).sum()) > int(one.mask.sum())


def painted_with(sample: Sample, number: int) -> Painted:
    """Defect `number` of an image: its kind goes round, its seed comes from the file's bytes."""
    kind = JUDGE_KINDS[number % len(JUDGE_KINDS)]
    return Painted((kind,), (int(sample.sha256[:8], 16), number))


def fit_fusion(view: View, scale: Sequence[Sample], use: Use, min_area: int, pixel_only: bool) -> Chosen:
    """The fusion of a line from the normal images that set its statistic."""
    if use == "zero-shot":
        return Chosen(None)
    scales = term_scales(normal_samples(view, scale), min_area)

    def shown() -> Iterator[FusionSample]:
        # Looked at twice and not kept: the maps of a hundred images are large.
        yield from normal_samples(view, scale)
        yield from painted_samples(view, scale)

    return choose_fusion(scales, shown, use, min_area, pixel_only)
