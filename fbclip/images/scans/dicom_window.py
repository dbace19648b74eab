"""Which values of a monochrome DICOM frame become black and white."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from fbclip.errors import ImageError
from fbclip.images.picture import WindowOrigin
from fbclip.images.scans.tags import number, of_frame, text, value
from fbclip.images.window import Window, percentile_limits, through

_HEAD = frozenset({"HEAD", "BRAIN", "SKULL", "HEADNECK", "HEAD_NECK"})
_HEAD_CT = (40.0, 80.0)

Stored = NDArray[Any]
Limits = tuple[float, float]


@dataclass(frozen=True, eq=False)
class StoredFrame:
    """A frame as it is stored: (H,W) `values`, and what says what they stand for, frame `index` of `dataset`."""

    dataset: Dataset
    index: int
    values: Stored

    @property
    def voi(self) -> Dataset:
        """Where its window stands."""
        return of_frame(self.dataset, self.index, "FrameVOILUTSequence", "WindowCenter")


def rescaled(dataset: Dataset, index: int, stored: Stored) -> NDArray[np.generic]:
    """Stored values of a frame -> what they stand for, as Hounsfield units: by rescale slope or table."""
    item = of_frame(dataset, index, "PixelValueTransformationSequence", "RescaleSlope")
    if number(item, "RescaleSlope") == 0:
        raise ImageError("corrupt", "the rescale slope of the DICOM file is 0")
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        if value(item, keyword) is not None and number(item, keyword) is None:
            raise ImageError("corrupt", f"{keyword} of the DICOM file is no finite number")
    return np.asarray(apply_modality_lut(stored, item))


def shown(frame: StoredFrame, asked: Window, common: Limits | None) -> tuple[NDArray[np.uint8], Limits, WindowOrigin]:
    """A frame as uint8, before it is inverted, through which values, and who says so.

    `common`: the percentiles of all frames, where `needs_percentiles` is true.
    """
    values = rescaled(frame.dataset, frame.index, frame.values)
    item = frame.voi
    own = _own_limits(item)
    if asked == "dicom" and own is None and value(item, "VOILUTSequence") is not None:
        return _by_table(values, item)
    if asked == "dicom" and own is not None and text(item, "VOILUTFunction") == "SIGMOID":
        return _sigmoid(values, item), own, "file"
    limits, origin = _limits(frame.dataset, frame.index, asked, own, common)
    return through(values, *limits), limits, origin


def _limits(
    dataset: Dataset, index: int, asked: Window, own: Limits | None, common: Limits | None
) -> tuple[Limits, WindowOrigin]:
    if isinstance(asked, tuple):
        return asked, "declared"
    if asked == "full":
        return _full(dataset, index), "full"
    if asked == "dicom" and own is not None:
        return own, "file"
    if asked == "dicom" and _is_head_ct(dataset):
        return _linear(*_HEAD_CT), "head_ct"
    assert common is not None
    return common, "percentile"


def needs_percentiles(frames: Sequence[StoredFrame], asked: Window) -> bool:
    """Whether some frame is shown by the percentiles of all."""
    if asked != "dicom":
        return asked == "percentile"
    return any(
        not _is_head_ct(one.dataset) and _own_limits(one.voi) is None and value(one.voi, "VOILUTSequence") is None
        for one in frames
    )


def common_limits(frames: Sequence[StoredFrame]) -> Limits:
    """Percentiles of all frames, as they are rescaled, without the values that only pad an image to a rectangle."""

    def parts() -> Iterator[NDArray[np.generic]]:
        # One at a time: rescaled values take up to four times the memory of stored ones.
        for one in frames:
            yield rescaled(one.dataset, one.index, one.values)[~_padding(one.dataset, one.values)]

    count = sum(one.values.size - int(np.count_nonzero(_padding(one.dataset, one.values))) for one in frames)
    return percentile_limits(parts(), count)


def _own_limits(item: Dataset) -> Limits | None:
    """The first window that the file names; None for an empty, lone or impossible one, and for text."""
    center, width = number(item, "WindowCenter"), number(item, "WindowWidth")
    if center is None or width is None:
        return None
    if text(item, "VOILUTFunction") in {"LINEAR_EXACT", "SIGMOID"}:
        return (center - width / 2, center + width / 2) if width > 0 else None
    return _linear(center, width) if width >= 1 else None


def _linear(center: float, width: float) -> Limits:
    """DICOM PS3.3 C.11.2.1.2.1."""
    return center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2


def _sigmoid(values: NDArray[np.generic], item: Dataset) -> NDArray[np.uint8]:
    center, width = number(item, "WindowCenter"), number(item, "WindowWidth")
    assert center is not None and width is not None
    exponent = np.clip(-4 * (values.astype(np.float64) - center) / width, -60, 60)
    return through(1 / (1 + np.exp(exponent)), 0.0, 1.0)


def _by_table(values: NDArray[np.generic], item: Dataset) -> tuple[NDArray[np.uint8], Limits, WindowOrigin]:
    table = item.VOILUTSequence[0]
    bits = int(table.LUTDescriptor[2])
    first, entries = int(table.LUTDescriptor[1]), int(table.LUTDescriptor[0]) or 1 << 16
    out = apply_voi(values, item, index=0)
    return through(np.asarray(out), 0.0, float((1 << bits) - 1)), (float(first), float(first + entries - 1)), "file"


def _full(dataset: Dataset, index: int) -> Limits:
    """What the stored bits can hold, rescaled."""
    if "PixelData" not in dataset:
        raise ImageError("no_window", "floating-point pixels have no full range; calibrate with --window percentile")
    bits, signed = int(dataset.BitsStored), int(dataset.PixelRepresentation)
    least = -(1 << (bits - 1)) if signed else 0
    ends = rescaled(dataset, index, np.array([[least, least + (1 << bits) - 1]], np.int64)).astype(np.float64)
    return float(ends.min()), float(ends.max())


def _padding(dataset: Dataset, stored: Stored) -> NDArray[np.bool_]:
    padding = number(dataset, "PixelPaddingValue")
    if padding is None:
        return np.zeros(stored.shape, np.bool_)
    limit = number(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((padding, padding if limit is None else limit))
    return np.asarray((stored >= low) & (stored <= high))


def _is_head_ct(dataset: Dataset) -> bool:
    return text(dataset, "Modality") == "CT" and text(dataset, "BodyPartExamined") in _HEAD
