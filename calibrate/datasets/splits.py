"""Disjoint splits: no image and no unit on both sides, whatever the files are called."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import combinations

from calibrate.datasets.sample import Sample
from calibrate.errors import DataError


def unit_order(samples: Sequence[Sample]) -> list[str]:
    """Units in the order of their digests.

    That order is fixed and has nothing to do with when or where an image was taken, so a drift over the
    collection does not end up in one part only.
    """
    return sorted({s.unit for s in samples}, key=lambda u: hashlib.sha256(u.encode()).hexdigest())


def split_units(samples: Sequence[Sample], first: int) -> tuple[list[Sample], list[Sample]]:
    """(samples of `first` units, the rest), disjoint by unit."""
    chosen = set(unit_order(samples)[:first])
    return [s for s in samples if s.unit in chosen], [s for s in samples if s.unit not in chosen]


def check_disjoint(parts: Mapping[str, Sequence[Sample]]) -> None:
    """Raises DataError naming the first images or units that two parts share.

    An image is known by its bytes.
    """
    for (one, first), (other, second) in combinations(parts.items(), 2):
        by_bytes = {s.sha256: s for s in first}
        units = {s.unit for s in first}
        for sample in second:
            twin = by_bytes.get(sample.sha256)
            if twin is not None:
                raise DataError(
                    f"{sample.path} ({other}) is the same image as {twin.path} ({one}); "
                    f"{one} and {other} must not share any"
                )
            if sample.unit in units:
                raise DataError(
                    f"{sample.path}: unit {sample.unit!r} is in {one} and in {other}; they must not share any"
                )
