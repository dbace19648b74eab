"""How many of a line's normal units count: near-duplicates are one unit, a run of like ones is worth fewer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from calibrate.datasets.near_duplicates import NearDuplicates, find_near_duplicates, merged
from calibrate.errors import RefusedError
from calibrate.statistics.serial import LEVEL, serial_dependence
from calibrate.threshold.request import ThresholdRequest
from calibrate.threshold.split import ThresholdSplit, split_line
from fbclip.artefacts.independence import Independence


@dataclass(frozen=True)
class CountedRequest:
    """A request whose near-duplicate units are one, and which those were."""

    request: ThresholdRequest
    near: NearDuplicates


def count_units(request: ThresholdRequest) -> CountedRequest:
    """Looks at every normal unit's first image. With `assume_independent` units stay as they were told apart."""
    near = find_near_duplicates(request.data.normal)
    if request.assume_independent or not near.spare:
        return CountedRequest(request, near)
    data = replace(request.data, normal=tuple(merged(request.data.normal, near)))
    return CountedRequest(replace(request, data=data), near)


def split_counted(counted: CountedRequest) -> ThresholdSplit:
    """As `split_line`; a refusal also says that units were merged, since the user sees more of them."""
    try:
        return split_line(counted.request)
    except RefusedError as error:
        if counted.request.assume_independent or not counted.near.spare:
            raise
        one, other = counted.near.groups[0][:2]
        raise RefusedError(
            f"{counted.near.spare} units look the same as others, such as {other} as {one}, and count once "
            f"(--assume-independent counts them): {error}"
        ) from error


def measure_independence(counted: CountedRequest, z_of_units: Mapping[str, float]) -> Independence:
    """`z_of_units`: of the units that set or measure the threshold."""
    request, order = counted.request, counted.request.order
    ordered = [] if order is None else [z_of_units[unit] for unit in order.units if unit in z_of_units]
    found = serial_dependence(np.array(ordered)) if len(ordered) == len(z_of_units) else None
    n = len(z_of_units)
    return Independence(
        near_duplicates=counted.near.spare,
        order=None if found is None or order is None else order.by,
        lag1=None if found is None else round(found.lag1, 6),
        p_value=None if found is None else found.p_value,
        level=LEVEL,
        effective=n if found is None or request.assume_independent else min(n, found.effective),
        assumed=request.assume_independent,
    )


def refuse_dependent(found: Independence, n: int) -> None:
    """Raises RefusedError where a promise that was asked for is missing because units depend on each other."""
    if found.effective < n:
        raise RefusedError(
            f"{independence_text(found, n)}: too few for the false-alarm rate. Collect over a longer time "
            "(`agent collect --unit` groups frames of one part), ask for less, or use --best-effort for a profile "
            "without a guarantee; --assume-independent counts every unit and is recorded in the profile"
        )


def independence_text(found: Independence, n: int) -> str:
    """One phrase on `n` units of a profile; empty where nothing was found."""
    parts = []
    if found.near_duplicates:
        verb = "count all the same" if found.assumed else "were merged into them"
        parts.append(f"{found.near_duplicates:,} units look the same as others and {verb}")
    if found.dependent and found.lag1 is not None and found.p_value is not None:
        by = "capture" if found.order == "time" else "their file names"
        worth = "they count as if they did not" if found.assumed else f"they count as {found.effective:,}"
        parts.append(
            f"the {n:,} units depend on each other in the order of {by} (correlation of ranks {found.lag1:.2f}, "
            f"p = {found.p_value:.4f}); {worth}"
        )
    return ", and ".join(parts)
