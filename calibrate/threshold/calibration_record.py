"""What a profile says of its calibration: what was asked, by which units, and what may be promised. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibrate.datasets.sample import data_sha256
from calibrate.threshold.operating_point import Choice, UnitScores
from calibrate.threshold.request import ThresholdRequest
from fbclip.artefacts.independence import Independence
from fbclip.artefacts.profile import Calibration

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
MAX_REFERENCE = 1000


def calibration_record(
    request: ThresholdRequest, scale_units: int, scores: UnitScores, choice: Choice, independence: Independence
) -> Calibration:
    """`request`: as it was asked for; scale_units: how many set the scale."""
    target, goal = request.target, request.goal
    return Calibration(
        method=goal.method if choice.expected_rate is None else "robust-limit",
        unit=_unit_source(request),
        n_good=len(scores.all_normal),
        n_constants=scale_units,
        n_bad=len(scores.anomalous) + len(scores.check_anomalous),
        exceedances=choice.threshold.exceedances,
        target=target.alpha,
        confidence=target.confidence,
        uncertain_target=target.uncertain,
        guarantee=choice.threshold.guarantee,
        quantiles={f"{q:g}": round(float(np.quantile(scores.all_normal, q)), 6) for q in QUANTILES},
        data_sha256=data_sha256(request.data.samples),
        bounds=target.bounds,
        recall_target=goal.value if goal.method == "recall" else None,
        recall_guarantee=choice.recall_guarantee,
        interval=choice.interval,
        measured=choice.measured,
        expected_false_alarm_rate=choice.expected_rate,
        reference=reference(scores.all_normal),
        independence=independence,
    )


def reference(z: NDArray[np.float64]) -> tuple[float, ...]:
    """z of the units, rising, in float32 rounded to 6 digits, evenly thinned to MAX_REFERENCE; for drift.

    The lowest and the highest always stay.
    """
    ordered = np.sort(z).astype(np.float32)
    return tuple(round(float(v), 6) for v in ordered[reference_places(len(ordered))])


def reference_places(n: int) -> NDArray[np.int64]:
    """Which of n rising z a profile's reference keeps."""
    if n <= MAX_REFERENCE:
        return np.arange(n)
    return np.linspace(0, n - 1, MAX_REFERENCE).round().astype(np.int64)


def _unit_source(request: ThresholdRequest) -> str:
    """How units were told apart: `file`, `layout` (the data set itself says), `folder`, `collect` or `name:REGEX`."""
    if request.unit_from is None:
        samples = request.data.samples
        return "file" if len({s.unit for s in samples}) == len(samples) else "layout"
    return request.unit_from if request.unit_from in {"folder", "collect"} else f"name:{request.unit_from}"
