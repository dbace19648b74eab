"""A line's images -> its profile: split, picture limits, fusion, scale, unit scores, choice, profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from calibrate.errors import RefusedError
from calibrate.inference import Scored, Skips, View
from calibrate.memory.fusion_choice import ChosenFusion, fit_fusion
from calibrate.threshold.calibration_record import calibration_record
from calibrate.threshold.common_rule import common_rule
from calibrate.threshold.independence import count_units, measure_independence, refuse_dependent, split_counted
from calibrate.threshold.operating_point import Choice, UnitScores, choose
from calibrate.threshold.picture_limits import MeasuredPicture, measure_picture
from calibrate.threshold.request import ThresholdRequest
from calibrate.threshold.sees import ZRule, measure_sees
from calibrate.threshold.split import MIN_CONSTANT_UNITS, needed_units
from calibrate.threshold.unit_scores import UnitMeasure
from fbclip.artefacts.drift_reference import drift_reference
from fbclip.artefacts.profile import Profile
from fbclip.decision import Statistic, default_min_area
from fbclip.detector import Detector


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
    measure = UnitMeasure(view, min_area, skips, advance)
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
        calibration=calibration_record(asked, scale_units, scores, choice, independence),
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
