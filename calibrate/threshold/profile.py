"""A line's images -> its profile: split, picture limits, fusion, scale, unit scores, choice, profile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from calibrate.datasets.sample import Sample, data_sha256
from calibrate.errors import RefusedError
from calibrate.inference import Scored, Skips, View
from calibrate.memory.fusion_choice import ChosenFusion, fit_fusion
from calibrate.statistics.scale import fit_statistic
from calibrate.threshold.common_rule import common_rule
from calibrate.threshold.independence import count_units, measure_independence, refuse_dependent, split_counted
from calibrate.threshold.operating_point import Choice, UnitScores, choose
from calibrate.threshold.picture_limits import MeasuredPicture, measure_picture
from calibrate.threshold.request import ThresholdRequest
from calibrate.threshold.sees import ZRule, measure_sees
from calibrate.threshold.split import MIN_CONSTANT_UNITS, ThresholdSplit, needed_units
from fbclip.artefacts.drift_reference import drift_reference
from fbclip.artefacts.independence import Independence
from fbclip.artefacts.profile import Calibration, Profile
from fbclip.decision import Statistic, combined_statistic, default_min_area, highest_region
from fbclip.detector import Detector

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
MAX_REFERENCE = 1000
MAX_HIGHEST = 5
NEVER_ALARMS = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class ProfileResult:
    """fusion: what decides and by which numbers that was chosen, None without a memory.

    highest: the normal units with the largest z, falling, that set the threshold or lie above it.
    highest_images: of these units the images with the largest z.
    picture: the limits that the profile holds, with their reference picture; None where the units are too few.
    """

    profile: Profile
    fusion: ChosenFusion | None
    highest: tuple[tuple[str, float], ...] = ()
    picture: MeasuredPicture | None = None
    highest_images: tuple[Scored, ...] = ()


def make_profile(
    detector: Detector, adapter: str, request: ThresholdRequest, advance: Callable[[int], None], skips: Skips
) -> ProfileResult:
    """Score every unit and set the threshold; raises DataError or RefusedError, writes nothing.

    `skips` says what becomes of images that cannot be judged, and lists them; `advance` hears of images done.
    """
    min_area = request.min_area_px or default_min_area(detector.backbone_config.patch_size)
    # An ignore mask leaves the image term out, since CLS sees the masked parts.
    pixel_only = request.pixel_only or request.framing.mask is not None

    asked, counted = request, count_units(request)
    request = counted.request
    split = split_counted(counted)
    picture = measure_picture(
        split.scale,
        (*split.normal, *split.check_normal),
        request.framing,
        request.target.confidence,
        request.profile_name,
    )
    view, fusion = View(detector, adapter, request.framing, request.memory), None
    if request.memory is not None:
        fusion = fit_fusion(view, split.scale, request.use, min_area, pixel_only)
        view = replace(view, memory=None if fusion.fusion is None else request.memory, fusion=fusion.fusion)
    view = replace(view, picture=None if picture is None else picture.check(request.framing))
    measure = _Measure(view, min_area, skips, advance)
    statistic, scale_units = measure.fit_scale(split.scale, pixel_only)
    few = scale_units < MIN_CONSTANT_UNITS or request.data.normal_units < needed_units(request.target)
    scores = UnitScores(
        scale=measure.unit_z(split.scale, statistic) if few else np.array([]),
        normal=measure.unit_z(split.normal, statistic),
        anomalous=measure.unit_z(split.anomalous, statistic),
        check_normal=measure.unit_z(split.check_normal, statistic),
        check_anomalous=measure.unit_z(split.check_anomalous, statistic),
    )
    independence = measure_independence(counted, measure.threshold_z(split))
    scores = replace(scores, worth=independence.effective)
    # A scale set by a handful of units may be poor, so then nothing is promised, whatever the others would carry.
    choice = choose(scores, request.goal, request.target, trusted=scale_units >= MIN_CONSTANT_UNITS)
    if skips.skipped and not request.best_effort:
        _check_still_enough(request, choice, len(skips.skipped))
    if request.goal.promises and choice.threshold.guarantee is None and not request.best_effort:
        refuse_dependent(independence, len(scores.all_normal))
    rule = ZRule(statistic, min_area, choice.threshold.value, common_rule(scores.all_normal))
    # Those that set or measured the threshold are in its own figures.
    real = () if len(split.anomalous) + len(split.check_anomalous) else view.score(request.data.unused, advance)
    shown = (one for one in real if isinstance(one, Scored))
    sees = measure_sees(view, split.scale, rule, shown, request.target.confidence, advance)
    highest = measure.highest(choice.threshold.value)
    # Scored once more, since maps are not kept.
    shown_images = measure.images_of([unit for unit, _ in highest], split, statistic)
    running = detector.running(adapter, view.memory)
    profile = Profile(
        line=request.line,
        created=datetime.now(UTC).replace(microsecond=0),
        method=running.method,
        adapter=adapter,
        memory=view.memory,
        fusion=view.fusion,
        fusion_choice=None if fusion is None else fusion.record,
        backbone=running.backbone,
        backbone_sha256=running.backbone_sha256,
        device="cuda" if running.device == "cuda" else "cpu",
        size=running.size,
        runtime=detector.runtime,
        precision=detector.precision,
        export=running.export,
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
        calibration=_calibration(asked, scale_units, scores, choice, independence),
        sees=sees,
        picture=None if picture is None else picture.limits,
        drift=drift_reference(
            measure.watched_z(split),
            {} if picture is None else picture.first,
            independence.effective,
            of_volumes=any(s.slice is not None for s in (*split.normal, *split.check_normal)),
        ),
    )
    return ProfileResult(profile, fusion, highest, picture, shown_images)


@dataclass(frozen=True, eq=False)
class _Measure:
    """A line's images -> numbers, by the code that the agent runs."""

    view: View
    min_area: int
    skips: Skips
    advance: Callable[[int], None]
    z_of_units: dict[str, float] = field(default_factory=dict)
    z_of_watched: dict[str, float] = field(default_factory=dict)

    def watched_z(self, split: ThresholdSplit) -> NDArray[np.float64]:
        """z of the first image, or worst slice, of each normal unit that sets or measures the threshold, (n,)."""
        units = dict.fromkeys(s.unit for s in (*split.normal, *split.check_normal))
        return np.array([self.z_of_watched[unit] for unit in units if unit in self.z_of_watched])

    def highest(self, threshold: float) -> tuple[tuple[str, float], ...]:
        """Normal units at the threshold and above it, falling, at most MAX_HIGHEST; at least the highest of all."""
        falling = sorted(self.z_of_units.items(), key=lambda pair: -pair[1])
        count = sum(z >= threshold for _, z in falling)
        return tuple(falling[: max(1, min(count, MAX_HIGHEST))])

    def threshold_z(self, split: ThresholdSplit) -> dict[str, float]:
        """Of the normal units that set or measure the threshold; those that only set the scale do not count."""
        units = {s.unit for s in (*split.normal, *split.check_normal)}
        return {unit: z for unit, z in self.z_of_units.items() if unit in units}

    def images_of(self, units: Sequence[str], split: ThresholdSplit, statistic: Statistic) -> tuple[Scored, ...]:
        """Of each unit, in order, the image with the largest z."""
        best: dict[str, tuple[float, Scored]] = {}
        wanted = [s for s in (*split.scale, *split.normal, *split.check_normal) if s.unit in units]
        for one in self.view.score_usable(wanted, Skips(allowed=True), lambda _: None):
            z = combined_statistic(one.prediction, statistic, self.min_area, one.ignore)
            if one.sample.unit not in best or z > best[one.sample.unit][0]:
                best[one.sample.unit] = (z, one)
        return tuple(best[unit][1] for unit in units if unit in best)

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
        """z of each unit, (n_units,); the lowest possible for a unit that the picture limits reject, as no threshold
        finds it."""
        units, z = [], []
        for s in self._scored(samples):
            units.append(s.sample.unit)
            found = combined_statistic(s.prediction, statistic, self.min_area, s.ignore)
            z.append(found if s.fault is None else NEVER_ALARMS)
            if not s.sample.label:
                # Drift counts what a picture shows, whether or not it is judged.
                first = self.z_of_watched.setdefault(units[-1], found)
                if s.sample.slice is not None:
                    self.z_of_watched[units[-1]] = max(first, found)
                self.z_of_units[units[-1]] = max(z[-1], self.z_of_units.get(units[-1], z[-1]))
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


def _calibration(
    request: ThresholdRequest, scale_units: int, scores: UnitScores, choice: Choice, independence: Independence
) -> Calibration:
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
