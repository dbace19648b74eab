"""Which files are one series, which of them are its slices, and in which order: from what their headers say.

Pure functions over small facts, so that a daemon and an offline tool group and order files alike, and without the
libraries that read scans. A file that is a volume by itself is no slice.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isclose
from statistics import median

from pydantic import Field

from fbclip.errors import ImageError
from fbclip.frozen import Frozen
from fbclip.images.header import check_scan_limits
from fbclip.images.picture import Digest, SeriesOrder, SliceFault

MOST_SLICES = 4096
DUPLICATE, CONFLICT = "duplicate", "uid_conflict"
MIXED_SIZE, MIXED_COLOUR, MIXED_ORIENTATION = "mixed_size", "mixed_colour", "mixed_orientation"
TOO_MANY_SLICES = "too_many_slices"
# Scanners round directions to four digits and more; positions to a hundredth of a millimetre.
_SAME_DIRECTION, _SAME_PLACE_MM = 0.01, 0.005
_GAP = 1.5

Direction = tuple[float, float, float, float, float, float]
Place = tuple[float, float, float]


class SliceHeader(Frozen):
    """What a file of one frame says of itself: numbers and digests only. Compared in memory, never stored.

    series: of the identifiers of study and series; directions: of rows and columns; fault: why its pixels cannot be
    read, as far as that is seen without decoding them.
    """

    sha256: Digest
    series: Digest
    instance: Digest
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    voxel_bytes: int = Field(ge=1)
    coloured: bool = False
    directions: Direction | None = None
    place: Place | None = None
    number: int | None = None
    fault: str | None = Field(None, pattern=r"^[a-z0-9_]{1,40}$")


@dataclass(frozen=True)
class SeriesPlan:
    """files: those that are slices, in order, by their places among the headers; positions: of each in mm, where they
    are known; same_position, gaps: see `SeriesFacts`; faults: those that are none, `duplicate` or `uid_conflict`."""

    files: tuple[int, ...]
    ordered_by: SeriesOrder
    positions: tuple[float | None, ...]
    same_position: int
    gaps: int
    faults: tuple[SliceFault, ...]


def arrange(headers: Mapping[int, SliceHeader], ranks: Sequence[int]) -> SeriesPlan:
    """The slices of one series in order: by position along the normal of their plane, else by instance number, else by
    `ranks`, of the files' names. Of files with one identifier the first counts: the same bytes again are a duplicate,
    other bytes a conflict.

    Raises ImageError where they are no volume: mixed_size, mixed_colour, mixed_orientation, too_large, too_small,
    too_many_slices.
    """
    first: dict[str, int] = {}
    slices: dict[int, SliceHeader] = {}
    faults = []
    for index, header in headers.items():
        counts = first.setdefault(header.instance, index)
        if counts == index:
            slices[index] = header
        else:
            same = headers[counts].sha256 == header.sha256
            faults.append(SliceFault(file=index, reason=DUPLICATE if same else CONFLICT, instead=counts))
    _refuse_mixed(list(slices.values()))
    return replace(_ordered(slices, ranks), faults=tuple(faults))


def _refuse_mixed(slices: Sequence[SliceHeader]) -> None:
    if not slices:
        raise ImageError("flat", "a series without a slice")
    one = slices[0]
    if any((s.width, s.height) != (one.width, one.height) for s in slices):
        raise ImageError(MIXED_SIZE, "the slices of a series are not of one size")
    if any(s.coloured != one.coloured for s in slices):
        raise ImageError(MIXED_COLOUR, "a series of grey and coloured slices")
    known = [s.directions for s in slices if s.directions is not None]
    if any(not _alike(directions, known[0]) for directions in known):
        raise ImageError(MIXED_ORIENTATION, "the slices of a series do not lie in parallel planes")
    if len(slices) > MOST_SLICES:
        raise ImageError(TOO_MANY_SLICES, f"{len(slices)} slices, more than {MOST_SLICES}")
    check_scan_limits(one.width, one.height, len(slices), max(s.voxel_bytes for s in slices))


def _alike(directions: Direction, others: Direction) -> bool:
    return all(isclose(a, b, abs_tol=_SAME_DIRECTION) for a, b in zip(directions, others, strict=True))


def _ordered(slices: Mapping[int, SliceHeader], ranks: Sequence[int]) -> SeriesPlan:
    positions = {index: _position(header, next(iter(slices.values()))) for index, header in slices.items()}
    known = [at for at in positions.values() if at is not None]
    numbers = {index: header.number for index, header in slices.items()}

    def key(index: int) -> tuple[float, float, int]:
        at, number = positions[index], numbers[index]
        return at or 0.0, number or 0, ranks[index]

    by: SeriesOrder = "position"
    if len(known) == len(slices):
        files = sorted(slices, key=key)
    elif None not in numbers.values():
        by, files = "number", sorted(slices, key=lambda index: key(index)[1:])
    else:
        by, files = "name", sorted(slices, key=lambda index: ranks[index])
    steps = [b - a for a, b in itertools.pairwise(sorted(known))]
    same = sum(step < _SAME_PLACE_MM for step in steps)
    return SeriesPlan(tuple(files), by, tuple(positions[index] for index in files), same, _gaps(steps), ())


def _gaps(steps: Sequence[float]) -> int:
    """How many steps are longer by half than the usual one; of fewer than three nobody knows what is usual."""
    moving = [step for step in steps if step >= _SAME_PLACE_MM]
    return sum(step > _GAP * median(moving) for step in moving) if len(moving) >= 3 else 0


def _position(header: SliceHeader, one: SliceHeader) -> float | None:
    """Along the normal of the first slice: the others' own differ by what was rounded, which counts at a distance."""
    if header.directions is None or header.place is None or one.directions is None:
        return None
    (a, b, c), (d, e, f) = one.directions[:3], one.directions[3:]
    x, y, z = header.place
    return (b * f - c * e) * x + (c * d - a * f) * y + (a * e - b * d) * z
