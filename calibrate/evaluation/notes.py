"""What a reader of an evaluation's numbers should know: one sentence each. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from calibrate.datasets.sample import DataSet
from calibrate.evaluation.evaluator import ClassEvaluation
from calibrate.evaluation.request import EvaluationRequest


def evaluation_notes(
    data: DataSet, request: EvaluationRequest, device: str, unlabelled: int, classes: Mapping[str, ClassEvaluation]
) -> tuple[str, ...]:
    """`unlabelled`: how many images were left out for want of a label."""
    notes = [f"{len(data.problems)} notes on the data; `calibrate data` lists them"] if data.problems else []
    if unlabelled:
        notes.append(f"{unlabelled} images without a label are left out")
    if request.profile is not None and request.profile.profile.device != device:
        notes.append(f"the profile was measured on {request.profile.profile.device}, this run on {device}")
    for name, found in classes.items():
        notes += _class_notes(name, found)
    without_mask = sum(found.without_mask for found in classes.values())
    if without_mask:
        notes.append(f"{without_mask} anomalous images without a mask are left out of the pixel numbers")
    empty_masks = sum(found.empty_masks for found in classes.values())
    if empty_masks:
        notes.append(
            f"{empty_masks} masks are empty on the map (outside the region of interest, or smaller than half a map "
            "pixel); their images count as normal pixels"
        )
    return tuple(notes)


def _class_notes(name: str, found: ClassEvaluation) -> list[str]:
    notes = []
    labels = {image.anomalous for image in found.images if image.margin is not None}
    if len(labels) < 2:
        what = "no" if not labels else "only anomalous" if True in labels else "only normal"
        notes.append(f"{name}: {what} images were judged, so there are no image numbers")
    if found.numbers.pixel_auroc is None:
        notes.append(f"{name}: no masks, or nothing of them on the maps, so there are no pixel numbers")
    return notes
