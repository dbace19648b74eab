"""`calibrate threshold`: good pictures of a line -> its profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from calibrate.datasets.sample import data_sha256
from calibrate.errors import RefusedError
from calibrate.pictures import read_good
from calibrate.scoring import score, unit_maxima
from calibrate.splits import split_units
from calibrate.thresholds import (
    Wish,
    check_enough,
    constant_units,
    fit_statistic,
    needed_units,
    quantiles,
    set_threshold,
)
from fbclip.decision import combined_statistic, highest_region
from fbclip.detector import Detector
from fbclip.framing import Framing
from fbclip.profile import Calibration, IgnoreMask, Profile


@dataclass(frozen=True)
class Request:
    """What the user asked for. `min_area_px` is in map pixels; None means a quarter of a patch."""

    line: str
    data: Path
    wish: Wish
    unit_from: str | None = None
    framing: Framing = field(default_factory=Framing)
    ignore_mask: IgnoreMask | None = None
    min_area_px: int | None = None
    pixel_only: bool = False
    best_effort: bool = False


def make_profile(detector: Detector, adapter: str, request: Request, advance: Callable[[int], None]) -> Profile:
    """Score every good unit and set the threshold; raises DataError or RefusedError, writes nothing."""
    samples = read_good(request.data, request.unit_from)
    n_units = len({s.unit for s in samples})
    if not request.best_effort:
        check_enough(n_units, request.wish)
    patch = detector.backbone.config.patch_size
    min_area = request.min_area_px or max(1, patch * patch // 4)
    for_constants, for_threshold = split_units(samples, constant_units(n_units, request.wish))

    terms = np.array(
        [
            (s.evidence.margin, highest_region(s.evidence.map, min_area, s.ignore))
            for s in score(detector, adapter, for_constants, request.framing, advance)
        ]
    )
    if not len(terms):
        raise RefusedError("one good unit sets no threshold; at least 2 are needed, and far more for a guarantee")
    if not np.isfinite(terms).all():
        raise RefusedError("the ignore mask leaves no region of the smallest area to be judged; mask less")
    # An ignore mask leaves the image term out, since CLS sees the masked parts.
    statistic = fit_statistic(terms[:, 0], terms[:, 1], request.pixel_only or request.framing.mask is not None)
    units, z = [], []
    for scored in score(detector, adapter, for_threshold, request.framing, advance):
        units.append(scored.sample.unit)
        z.append(combined_statistic(scored.evidence, statistic, min_area, scored.ignore))
    per_unit = unit_maxima(units, z)
    threshold = set_threshold(per_unit, request.wish)
    # A scale set by a handful of units may be poor, so best effort promises nothing, whatever n would carry.
    guarantee = threshold.guarantee if n_units >= needed_units(request.wish) else None
    running = detector.running(adapter)
    # Cold is what good pictures typically reach, hot is as far above the alarm level as that lies above cold.
    cold, alarm = statistic.a2, statistic.a2 + statistic.b2 * threshold.value
    hot = alarm + max(alarm - cold, statistic.b2)
    return Profile(
        line=request.line,
        created=datetime.now(UTC).replace(microsecond=0),
        adapter=adapter,
        backbone=running.backbone,
        backbone_sha256=running.backbone_sha256,
        device="cuda" if running.device == "cuda" else "cpu",
        size=running.size,
        precision=detector.precision,
        roi=request.framing.roi,
        ignore_mask=request.ignore_mask,
        tiling=request.framing.tiling,
        smoothing=detector.smoothing[adapter],
        min_area_px=min_area,
        statistic=statistic,
        threshold=threshold.value,
        uncertain_above=threshold.uncertain_above,
        map_limits=(float(np.float32(cold)), float(np.float32(hot))),
        calibration=Calibration(
            method="order-statistic",
            unit="file" if request.unit_from is None else f"name:{request.unit_from}",
            n_good=len(per_unit),
            n_constants=len({s.unit for s in for_constants}),
            exceedances=threshold.exceedances,
            target=request.wish.alpha,
            confidence=request.wish.confidence,
            uncertain_target=request.wish.uncertain,
            guarantee=guarantee,
            quantiles=quantiles(per_unit),
            data_sha256=data_sha256(samples),
        ),
    )
