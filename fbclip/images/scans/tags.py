"""Values of a DICOM dataset, of one frame where an enhanced object says them by frame. Damaged values count as none."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

from pydicom import Dataset
from pydicom.multival import MultiValue

from fbclip.errors import ImageError
from fbclip.images.picture import Plane

_PLANES: tuple[Plane, ...] = ("sagittal", "coronal", "axial")


def value(item: Dataset, keyword: str) -> Any:
    """The value, the first of several; None where there is none or it cannot be read."""
    try:
        found = item.get(keyword)
    except Exception:
        return None
    if isinstance(found, (MultiValue, list, tuple)):
        return found[0] if len(found) else None
    return found


def number(item: Dataset, keyword: str) -> float | None:
    """A finite number, the first of several; None for text, an empty value or none."""
    try:
        found = float(value(item, keyword))
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def numbers(item: Dataset, keyword: str, count: int) -> list[float] | None:
    """Exactly `count` finite numbers, else None."""
    try:
        found = [float(one) for one in item.get(keyword) or ()]
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def whole(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    """A number from 1; raises ImageError `corrupt` for any other value, and without one where there is no default."""
    try:
        found = dataset.get(keyword)
        count = default if found is None or found == "" else int(found)
    except (TypeError, ValueError):
        count = None
    if count is None or count < 1:
        raise ImageError("corrupt", f"{keyword} of the DICOM file is no number from 1")
    return count


def text(item: Dataset, keyword: str) -> str:
    """As upper-case words, empty where there is none. For comparisons only: it may name a person."""
    return str(value(item, keyword) or "").strip().upper()


def of_frame(dataset: Dataset, index: int, group: str, keyword: str) -> Dataset:
    """Where frame `index` says `keyword`: its own functional group, the shared one, or the dataset itself."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    for groups in (frames[index : index + 1], shared[:1]):
        for one in groups:
            items = one.get(group) or ()
            if items and keyword in items[0]:
                found: Dataset = items[0]
                return found
    return dataset


def digest(*identifiers: object) -> str | None:
    """Hex sha256 of identifiers, to tell alike from unlike; None where one is missing."""
    parts = [str(one or "") for one in identifiers]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest() if all(parts) else None


def plane_and_position(dataset: Dataset, index: int) -> tuple[Plane | None, float | None]:
    """The nearest plane of a frame, and how far along its normal it lies in mm; None where it does not say."""
    found = orientation(dataset, index)
    if found is None:
        return None, None
    normal = normal_of(found)
    axis = max(range(3), key=lambda i: abs(normal[i]))
    at = place(dataset, index)
    return _PLANES[axis], None if at is None else along(normal, at)


def orientation(dataset: Dataset, index: int) -> list[float] | None:
    """The directions of a frame's rows and columns, six numbers; None where it says none that span a plane."""
    found = numbers(of_frame(dataset, index, "PlaneOrientationSequence", _ORIENTATION), _ORIENTATION, 6)
    return found if found is not None and any(normal_of(found)) else None


def place(dataset: Dataset, index: int) -> list[float] | None:
    """Where a frame's first pixel lies, in mm; None where it does not say."""
    return numbers(of_frame(dataset, index, "PlanePositionSequence", _POSITION), _POSITION, 3)


def normal_of(directions: Sequence[float]) -> tuple[float, float, float]:
    """What stands upright on the plane of rows and columns."""
    (a, b, c), (d, e, f) = directions[:3], directions[3:]
    return b * f - c * e, c * d - a * f, a * e - b * d


def along(normal: Sequence[float], at: Sequence[float]) -> float:
    """How far along the normal a place lies."""
    return sum(n * p for n, p in zip(normal, at, strict=True))


_ORIENTATION, _POSITION = "ImageOrientationPatient", "ImagePositionPatient"
