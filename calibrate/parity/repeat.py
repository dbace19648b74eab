"""A profile -> the request that it was made by, so that another runtime is calibrated on the same units alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from calibrate.datasets.capture_order import CaptureOrder
from calibrate.datasets.line_data import LineData
from calibrate.datasets.sample import data_sha256
from calibrate.errors import RefusedError
from calibrate.threshold.request import Goal, ThresholdRequest, ThresholdTarget
from fbclip.artefacts.profile import Profile
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.artefacts.seal import Seal


def goal_of(profile: Profile) -> Goal:
    """How its threshold was found. Raises RefusedError for one that was set by hand, which no units tell."""
    method = profile.calibration.method
    if method == "manual":
        raise RefusedError(
            "its threshold was set by hand, and z of another runtime is another scale; make a profile with "
            "`calibrate threshold` for this runtime"
        )
    if method == "recall":
        return Goal("recall", profile.calibration.recall_target or 0.0)
    return Goal("f1") if method == "f1" else Goal()


def unit_source(profile: Profile) -> str | None:
    """What told its units apart, as `--unit-from` takes it."""
    unit = profile.calibration.unit
    return None if unit in {"file", "layout"} else unit.removeprefix("name:")


def repeated_request(
    loaded: LoadedProfile, data: LineData, order: CaptureOrder | None, profile_name: str
) -> ThresholdRequest:
    """The profile's own target, framing, units and use of a memory. Raises RefusedError for an edited profile."""
    if loaded.seal is Seal.EDITED:
        raise RefusedError("it was edited, so what it promised is not known; go back with `calibrate profile rollback`")
    profile, c = loaded.profile, loaded.profile.calibration
    goal = goal_of(profile)
    mask = profile.ignore_mask
    if mask is not None:
        mask = mask.model_copy(update={"file": f"{profile_name}.ignore{Path(mask.file).suffix}"})
    target = ThresholdTarget(c.target, c.confidence, c.uncertain_target or c.target)
    return ThresholdRequest(
        line=profile.line,
        data=data,
        target=replace(target, bounds=c.bounds),
        goal=goal,
        unit_from=unit_source(profile),
        framing=loaded.framing,
        ignore_mask=mask,
        min_area_px=profile.min_area_px,
        pixel_only=profile.statistic.use == "pixel",
        best_effort=goal.promises and c.guarantee is None,
        memory=profile.memory,
        use="zero-shot" if profile.fusion is None else profile.fusion.use,
        order=order,
        assume_independent=c.independence is not None and c.independence.assumed,
        profile_name=profile_name,
    )


def check_same_images(profile: Profile, data: LineData) -> None:
    """Raises RefusedError where these are not the images that the profile was calibrated on."""
    if data_sha256(data.samples) != profile.calibration.data_sha256:
        raise RefusedError(
            "these are not the images that the profile was calibrated on, so a threshold from them would be another "
            "calibration; give the same folder, and the same --memory if there was one, or use `calibrate threshold`"
        )
