"""Disjoint splits: no image and no unit on both sides, whatever the files are called."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from calibrate.datasets.sample import Sample


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
