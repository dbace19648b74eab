"""Samples -> what the detector says of them: read, check, frame, score, by the very code that the agent runs.

One result a sample, in order: `Scored`, or `Skipped` with the reason the agent would reject it for. What a skipped
sample means is the caller's: `Skips` either lists them or refuses the data at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from calibrate.datasets.sample import Sample
from calibrate.defects.on_images import Item, add_defect
from calibrate.errors import DataError
from calibrate.wording import listed
from fbclip.decision import Prediction
from fbclip.detector import Detector, Job
from fbclip.errors import ImageError
from fbclip.images.decode import read_image
from fbclip.images.framing import Framed, Framing
from fbclip.images.geometry import BoolMap, Placement, RgbImage
from fbclip.images.picture import Picture
from fbclip.images.quality import QualitySettings, image_fault
from fbclip.images.window import DEFAULT_WINDOW, Window
from fbclip.memory.fusion import Fusion, Terms, fused_prediction
from fbclip.picture_health.check import PictureCheck

BATCH = 8
NOT_FINITE = "the model gave a non-finite value"
EMPTY_SLICE = "empty_slice"
HIDDEN = "most of the painted defect lies under the ignore mask"

T = TypeVar("T")


@dataclass(frozen=True)
class Skipped:
    """A sample that cannot be judged, and why, in a few words."""

    sample: Sample
    reason: str

    def __str__(self) -> str:
        return f"{self.sample.path.name} ({self.reason})"


@dataclass(frozen=True, eq=False)
class FramedItem:
    """An item as the network sees it, and as it was read, (H,W,3); mask (H,W) of a painted defect, else None."""

    item: Item
    image: RgbImage
    framed: Framed
    mask: BoolMap | None = None


@dataclass(frozen=True, eq=False)
class ItemTerms:
    """What is known of an item before it is fused."""

    framed: FramedItem
    terms: Terms


@dataclass(frozen=True, eq=False)
class Scored:
    """What the detector says of a sample, and where its map lies; `ignore` has the map's shape.

    fault: the reason for which the line's profile rejects the picture, whatever the detector says.
    """

    sample: Sample
    prediction: Prediction
    placement: Placement
    ignore: BoolMap | None
    fault: str | None = None


@dataclass
class Skips:
    """What becomes of samples that cannot be judged: with `allowed` they are listed, else they refuse the data."""

    allowed: bool = False
    skipped: list[Skipped] = field(default_factory=list)

    def rest(self, results: Iterable[T | Skipped]) -> Iterator[T]:
        """Hand on all but the skipped ones; at the end DataError names those, unless they are allowed."""
        for result in results:
            if isinstance(result, Skipped):
                # The agent does not judge the empty ends of a volume either.
                if result.reason != EMPTY_SLICE:
                    self.skipped.append(result)
            else:
                yield result
        if self.skipped and not self.allowed:
            raise DataError(
                f"{len(self.skipped)} images cannot be used, take them out of the data or add --skip-bad: "
                f"{listed(self.skipped)}"
            )


def read_sample(sample: Sample, window: Window = DEFAULT_WINDOW) -> RgbImage:
    """The image of a sample, or the slice, uint8 RGB (H,W,3). Raises ImageError, `empty_slice` too, and OSError."""
    if sample.slice is None:
        return read_image(sample.path, window).image
    picture = _volume(sample.series or (sample.path,), window)
    index = picture.of_file(sample.slice) if sample.series else picture.at(sample.slice)
    if index is not None:
        return picture.image(index)
    faults = () if picture.scan is None or picture.scan.files is None else picture.scan.files.faults
    raise ImageError(next((fault.reason for fault in faults if fault.file == sample.slice), EMPTY_SLICE))


@lru_cache(maxsize=1)
def _volume(paths: tuple[Path, ...], window: Window) -> Picture:
    """Kept for the slices that follow."""
    if len(paths) == 1:
        return read_image(paths[0], window).picture
    # The libraries that read scans take seconds to load.
    from fbclip.images.scans.series import read_series

    return read_series([path.read_bytes for path in paths], window)


def read_usable(sample: Sample, window: Window = DEFAULT_WINDOW) -> RgbImage:
    """An image that the agent would judge, uint8 RGB (H,W,3). Raises ImageError for any other, OSError."""
    image = read_sample(sample, window)
    fault = image_fault(image, QualitySettings())
    if fault is not None:
        raise ImageError(fault)
    return image


def frame_item(
    item: Item, frame: Callable[[RgbImage], Framed], window: Window = DEFAULT_WINDOW
) -> FramedItem | Skipped:
    """Read through `window`, check and frame; a defect is painted inside the region of interest before."""
    try:
        image = read_usable(item.sample, window)
        framed = frame(image)
        if item.defect is None:
            return FramedItem(item, image, framed)
        image, mask = add_defect(image, item.defect, framed.placement)
        return FramedItem(item, image, frame(image), mask)
    except (ImageError, OSError) as error:
        return Skipped(item.sample, str(error))


@dataclass(frozen=True, eq=False)
class View:
    """A line's way of looking at images: model, preprocessing, and how a memory counts.

    memory: id of one that the detector has; with `fusion` its distances count in the prediction. picture: what rejects
    pictures that are unlike the line's.
    """

    detector: Detector
    adapter: str
    framing: Framing = field(default_factory=Framing)
    memory: str | None = None
    fusion: Fusion | None = None
    picture: PictureCheck | None = None

    def frame(self, image: RgbImage) -> Framed:
        """RGB uint8 (H,W,3) -> the network's input; raises ImageError."""
        return self.detector.frame(image, self.framing)

    def terms(
        self, items: Iterable[Item], advance: Callable[[int], None] = lambda _: None
    ) -> Iterator[ItemTerms | Skipped]:
        """The terms of every item, in order; `advance` hears how many more are done."""
        rest = iter(items)
        while chunk := list(islice(rest, BATCH)):
            yield from self.terms_of([self._framed(item) for item in chunk])
            advance(len(chunk))

    def terms_of(self, found: Sequence[FramedItem | Skipped]) -> Iterator[ItemTerms | Skipped]:
        """The same of items that are framed already, in one batch."""
        sigma = self.detector.smoothing[self.adapter]
        jobs = [
            Job(one.framed.tiles, self.adapter, sigma, self.framing.tiling, self.memory)
            for one in found
            if isinstance(one, FramedItem)
        ]
        inferred = iter(self.detector.infer_terms(jobs))
        for one in found:
            if isinstance(one, Skipped):
                yield one
                continue
            terms = next(inferred)
            yield ItemTerms(one, terms) if _finite(terms) else Skipped(one.item.sample, NOT_FINITE)

    def _framed(self, item: Item) -> FramedItem | Skipped:
        """A painted defect that cannot be seen would count as one that was missed."""
        found = frame_item(item, self.frame, self.framing.window)
        if isinstance(found, Skipped) or found.mask is None or self.framing.mask is None:
            return found
        visible = int((found.mask & ~self.framing.mask).sum())
        return found if 2 * visible > int(found.mask.sum()) else Skipped(item.sample, HIDDEN)

    def score(
        self, samples: Sequence[Sample], advance: Callable[[int], None] = lambda _: None
    ) -> Iterator[Scored | Skipped]:
        """The prediction of every sample, in order."""
        for one in self.terms(map(Item, samples), advance):
            if isinstance(one, Skipped):
                yield one
                continue
            framed = one.framed.framed
            prediction = fused_prediction(one.terms, self.fusion)
            unlike = None if self.picture is None else self.picture.fault(one.framed.image)
            fault = None if unlike is None else unlike.reason
            yield Scored(one.framed.item.sample, prediction, framed.placement, framed.ignore, fault)

    def score_usable(
        self, samples: Sequence[Sample], skips: Skips, advance: Callable[[int], None] = lambda _: None
    ) -> Iterator[Scored]:
        """The same without the skipped ones, of which `skips` says what becomes; raises DataError as it does."""
        return skips.rest(self.score(samples, advance))


def _finite(terms: Terms) -> bool:
    numbers = (terms.margin, terms.distance_image, terms.map, terms.distance_map)
    return all(bool(np.isfinite(value).all()) for value in numbers if value is not None)
