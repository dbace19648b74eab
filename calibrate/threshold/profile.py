"""A line's images -> its profile: split, fusion, scale, unit scores, choice, profile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from calibrate.datasets.sample import Sample, data_sha256
from calibrate.errors import RefusedError
from calibrate.inference import Scored, Skips, View
from calibrate.memory.fusion_choice import ChosenFusion, fit_fusion
from calibrate.statistics.scale import fit_statistic
from calibrate.threshold.operating_point import Choice, UnitScores, choose
from calibrate.threshold.request import ThresholdRequest
from calibrate.threshold.split import MIN_CONSTANT_UNITS, split_line
from fbclip.artefacts.profile import Calibration, Profile
from fbclip.decision import Statistic, combined_statistic, default_min_area, highest_region
from fbclip.detector import Detector

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
MAX_REFERENCE = 1000


@dataclass(frozen=True)
class ProfileResult:
    """fusion: what decides and by which numbers that was chosen, None without a memory."""

    profile: Profile
    fusion: ChosenFusion | None


def make_profile(
    detector: Detector, adapter: str, request: ThresholdRequest, advance: Callable[[int], None], skips: Skips
) -> ProfileResult:
    """Score every unit and set the threshold; raises DataError or RefusedError, writes nothing.

    `skips` says what becomes of images that cannot be judged, and lists them; `advance` hears of images done.
    """
    min_area = request.min_area_px or default_min_area(detector.backbone.config.patch_size)
    # An ignore mask leaves the image term out, since CLS sees the masked parts.
    pixel_only = request.pixel_only or request.framing.mask is not None

    split = split_line(request)
    view, fusion = View(detector, adapter, request.framing, request.memory), None
    if request.memory is not None:
        fusion = fit_fusion(view, split.scale, request.use, min_area, pixel_only)
        view = replace(view, memory=None if fusion.fusion is None else request.memory, fusion=fusion.fusion)
    measure = _Measure(view, min_area, skips, advance)
    statistic, scale_units = measure.fit_scale(split.scale, pixel_only)
    scores = UnitScores(
        normal=measure.unit_z(split.normal, statistic),
        anomalous=measure.unit_z(split.anomalous, statistic),
        check_normal=measure.unit_z(split.check_normal, statistic),
        check_anomalous=measure.unit_z(split.check_anomalous, statistic),
    )
    # A scale set by a handful of units may be poor, so then nothing is promised, whatever the others would carry.
    choice = choose(scores, request.goal, request.target, trusted=scale_units >= MIN_CONSTANT_UNITS)
    if skips.skipped and not request.best_effort:
        _check_still_enough(request, choice, len(skips.skipped))
    running = detector.running(adapter, view.memory)
    profile = Profile(
        line=request.line,
        created=datetime.now(UTC).replace(microsecond=0),
        adapter=adapter,
        memory=view.memory,
        fusion=view.fusion,
        fusion_choice=None if fusion is None else fusion.record,
        backbone=running.backbone,
        backbone_sha256=running.backbone_sha256,
        device="cuda" if running.device == "cuda" else "cpu",
        size=running.size,
        precision=detector.precision,
        roi=request.framing.roi,
        ignore_mask=request.ignore_mask,
        tiling=request.framing.tiling,
        window=request.framing.window,
        smoothing=detector.smoothing[adapter],
        min_area_px=min_area,
        statistic=statistic,
        threshold=choice.threshold.value,
        uncertain_above=choice.threshold.uncertain_above,
        map_limits=_map_limits(statistic, choice.threshold.value),
        calibration=_calibration(request, scale_units, scores, choice),
    )
    return ProfileResult(profile, fusion)


@dataclass(frozen=True, eq=False)
class _Measure:
    """A line's images -> numbers, by the code that the agent runs."""

    view: View
    min_area: int
    skips: Skips
    advance: Callable[[int], None]

    def fit_scale(self, samples: Sequence[Sample], pixel_only: bool) -> tuple[Statistic, int]:
        """The constants of z and the number of units behind them."""
        terms, units = [], set()
        for s in self._scored(samples):
            units.add(s.sample.unit)
            terms.append((s.prediction.margin, highest_region(s.prediction.map, self.min_area, s.ignore)))
        if not terms:
            raise RefusedError("one normal unit sets no threshold; at least 2 are needed, and far more for a guarantee")
        found = np.array(terms)
        if not np.isfinite(found).all():
            raise RefusedError("the ignore mask leaves no region of the smallest area to be judged; mask less")
        return fit_statistic(found[:, 0], found[:, 1], pixel_only), len(units)

    def unit_z(self, samples: Sequence[Sample], statistic: Statistic) -> NDArray[np.float64]:
        """z of each unit, (n_units,)."""
        units, z = [], []
        for s in self._scored(samples):
            units.append(s.sample.unit)
            z.append(combined_statistic(s.prediction, statistic, self.min_area, s.ignore))
        return unit_maxima(units, z)

    def _scored(self, samples: Sequence[Sample]) -> Iterator[Scored]:
        return self.view.score_usable(samples, self.skips, self.advance)


def unit_maxima(units: Sequence[str], z: Sequence[float]) -> NDArray[np.float64]:
    """z of images, as many as `units` -> the largest of each unit, (n_units,)."""
    # A unit alarms when any of its images does.
    best: dict[str, float] = {}
    for unit, value in zip(units, z, strict=True):
        best[unit] = max(value, best.get(unit, float("-inf")))
    return np.array(list(best.values()))


def _check_still_enough(request: ThresholdRequest, choice: Choice, skipped: int) -> None:
    """Units that cannot be judged may be just those that were needed."""
    if request.goal.promises and choice.threshold.guarantee is None:
        kind = "normal"
    elif request.goal.method == "recall" and choice.recall_guarantee is None:
        kind = "anomalous"
    else:
        return
    raise RefusedError(
        f"{skipped} unusable images were among the {kind} units of the guarantee, and too few of these are left; "
        "take them out of the data or replace them, or use --best-effort for a profile without the guarantee"
    )


def _map_limits(statistic: Statistic, threshold: float) -> tuple[float, float]:
    """Cold is what normal images typically reach, hot is as far above the alarm level as that lies above cold."""
    cold, alarm = statistic.a2, statistic.a2 + statistic.b2 * threshold
    # A threshold that was given may lie below what normal images reach.
    hot = max(cold, alarm) + max(alarm - cold, statistic.b2)
    return float(np.float32(cold)), float(np.float32(hot))


def _calibration(request: ThresholdRequest, scale_units: int, scores: UnitScores, choice: Choice) -> Calibration:
    target, goal = request.target, request.goal
    return Calibration(
        method=goal.method,
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
        reference=reference(scores.all_normal),
    )


def reference(z: NDArray[np.float64]) -> tuple[float, ...]:
    """z of the units, rising, in float32 rounded to 6 digits, evenly thinned to MAX_REFERENCE; for drift.

    The lowest and the highest always stay.
    """
    ordered = np.sort(z).astype(np.float32)
    if len(ordered) > MAX_REFERENCE:
        ordered = ordered[np.linspace(0, len(ordered) - 1, MAX_REFERENCE).round().astype(int)]
    return tuple(round(float(v), 6) for v in ordered)


def _unit_source(request: ThresholdRequest) -> str:
    """How units were told apart: `file`, `layout` (the data set itself says), `folder`, `collect` or `name:REGEX`."""
    if request.unit_from is None:
        samples = request.data.samples
        return "file" if len({s.unit for s in samples}) == len(samples) else "layout"
    return request.unit_from if request.unit_from in {"folder", "collect"} else f"name:{request.unit_from}"
