"""`calibrate threshold`: images of a line -> its profile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from calibrate.datasets.sample import Sample, data_sha256
from calibrate.errors import RefusedError
from calibrate.inference import Scored, Skips, View
from calibrate.memory.fusion_choice import Use, choice_record, chosen_words
from calibrate.memory.fusion_samples import fit_fusion
from calibrate.statistics.units import unit_maxima
from calibrate.threshold.choice import Choice, Goal, UnitScores, choose
from calibrate.threshold.line_data import LineData, Method, split
from calibrate.threshold.operating_point import check_enough_defects
from calibrate.threshold.order_statistic import (
    MIN_CONSTANT_UNITS,
    ThresholdTarget,
    check_enough,
    constant_units,
    fit_statistic,
    quantiles,
    reference,
)
from fbclip.artefacts.profile import Calibration, IgnoreMask, Profile
from fbclip.decision import Statistic, combined_statistic, highest_region
from fbclip.detector import Detector
from fbclip.images.framing import Framing


@dataclass(frozen=True)
class ThresholdRequest:
    """What the user asked for. `min_area_px` is in map pixels; None means a quarter of a patch.

    memory: id of one that the detector has, so that its distances count as `use` says; its images are not in `data`.
    """

    line: str
    data: LineData
    wish: ThresholdTarget
    goal: Goal = field(default_factory=Goal)
    unit_from: str | None = None
    framing: Framing = field(default_factory=Framing)
    ignore_mask: IgnoreMask | None = None
    min_area_px: int | None = None
    pixel_only: bool = False
    best_effort: bool = False
    memory: str | None = None
    use: Use = "auto"


@dataclass(frozen=True, eq=False)
class _Measure:
    """A line's images -> numbers, by the code that the agent runs."""

    view: View
    min_area: int
    skips: Skips
    advance: Callable[[int], None]

    def scored(self, samples: Sequence[Sample]) -> Iterator[Scored]:
        """What the agent would see of the samples, in order."""
        return self.skips.rest(self.view.score(samples, self.advance))

    def fit(self, samples: Sequence[Sample], pixel_only: bool) -> tuple[Statistic, int]:
        """The constants of z and the number of units behind them."""
        terms, units = [], set()
        for s in self.scored(samples):
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
        for s in self.scored(samples):
            units.append(s.sample.unit)
            z.append(combined_statistic(s.prediction, statistic, self.min_area, s.ignore))
        return unit_maxima(units, z)


def make_profile(
    detector: Detector,
    adapter: str,
    request: ThresholdRequest,
    advance: Callable[[int], None],
    skips: Skips,
    tell: Callable[[str], None] = lambda _: None,
) -> Profile:
    """Score every unit and set the threshold; raises DataError or RefusedError, writes nothing.

    `skips` says what becomes of images that cannot be judged, and lists them.
    `tell` hears what the evidence is and why, where there is a memory.
    """
    check_counts(request)
    data, wish, framing = request.data, request.wish, request.framing
    patch = detector.backbone.config.patch_size
    min_area = request.min_area_px or max(1, patch * patch // 4)
    parts = split(data, request.goal.method, constant_units(data.normal_units, wish))
    # An ignore mask leaves the image term out, since CLS sees the masked parts.
    pixel_only = request.pixel_only or framing.mask is not None
    fusion, fusion_choice, memory = None, None, request.memory
    if memory is not None:
        chosen = fit_fusion(View(detector, adapter, framing, memory), parts.scale, request.use, min_area, pixel_only)
        tell(chosen_words(chosen))
        fusion, fusion_choice = chosen.fusion, choice_record(chosen)
        memory = None if fusion is None else memory
    measure = _Measure(View(detector, adapter, framing, memory, fusion), min_area, skips, advance)
    statistic, scale_units = measure.fit(parts.scale, pixel_only)
    scores = UnitScores(
        normal=measure.unit_z(parts.normal, statistic),
        anomalous=measure.unit_z(parts.anomalous, statistic),
        check_normal=measure.unit_z(parts.check_normal, statistic),
        check_anomalous=measure.unit_z(parts.check_anomalous, statistic),
    )
    # A scale set by a handful of units may be poor, so then nothing is promised, whatever the others would carry.
    choice = choose(scores, request.goal, wish, trusted=scale_units >= MIN_CONSTANT_UNITS)
    if skips.skipped and not request.best_effort:
        _check_still_enough(choice, request.goal.method, len(skips.skipped))
    running = detector.running(adapter, memory)
    return Profile(
        line=request.line,
        created=datetime.now(UTC).replace(microsecond=0),
        adapter=adapter,
        memory=memory,
        fusion=fusion,
        fusion_choice=fusion_choice,
        backbone=running.backbone,
        backbone_sha256=running.backbone_sha256,
        device="cuda" if running.device == "cuda" else "cpu",
        size=running.size,
        precision=detector.precision,
        roi=framing.roi,
        ignore_mask=request.ignore_mask,
        tiling=framing.tiling,
        smoothing=detector.smoothing[adapter],
        min_area_px=min_area,
        statistic=statistic,
        threshold=choice.threshold.value,
        uncertain_above=choice.threshold.uncertain_above,
        map_limits=_map_limits(statistic, choice.threshold.value),
        calibration=_calibration(request, scale_units, scores, choice),
    )


def check_counts(request: ThresholdRequest) -> None:
    """Raises RefusedError when there are too few units for a guarantee that was asked for and is not waived."""
    if request.best_effort:
        return
    if request.goal.method in {"order-statistic", "recall"}:
        check_enough(request.data.normal_units, request.wish)
    if request.goal.method == "recall":
        check_enough_defects(request.data.anomalous_units, request.goal.value, request.wish.confidence)


def _check_still_enough(choice: Choice, method: Method, skipped: int) -> None:
    """Units that cannot be judged may be just those that were needed."""
    if method in {"order-statistic", "recall"} and choice.threshold.guarantee is None:
        kind = "good"
    elif method == "recall" and choice.recall_guarantee is None:
        kind = "defective"
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
    wish, goal = request.wish, request.goal
    return Calibration(
        method=goal.method,
        unit=_unit_words(request),
        n_good=len(scores.all_normal),
        n_constants=scale_units,
        n_bad=len(scores.anomalous) + len(scores.check_anomalous),
        exceedances=choice.threshold.exceedances,
        target=wish.alpha,
        confidence=wish.confidence,
        uncertain_target=wish.uncertain,
        guarantee=choice.threshold.guarantee,
        quantiles=quantiles(scores.all_normal),
        data_sha256=data_sha256(request.data.samples),
        bounds=wish.bounds,
        recall_target=goal.value if goal.method == "recall" else None,
        recall_guarantee=choice.recall_guarantee,
        interval=choice.interval,
        measured=choice.measured,
        reference=reference(scores.all_normal),
    )


def _unit_words(request: ThresholdRequest) -> str:
    """How units were told apart: `file`, `layout` (the data set itself says), `folder`, `collect` or `name:REGEX`."""
    if request.unit_from is None:
        samples = request.data.samples
        return "file" if len({s.unit for s in samples}) == len(samples) else "layout"
    return request.unit_from if request.unit_from in {"folder", "collect"} else f"name:{request.unit_from}"
