"""A detector over a labelled data set -> numbers a class, verdicts, and one row of scalars an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from calibrate.datasets.sample import DataSet, Sample, data_sha256
from calibrate.errors import DataError
from calibrate.evaluation.evaluator import ClassCurves, ClassEvaluator
from calibrate.evaluation.guard import check_unseen
from calibrate.evaluation.masks import find_faults
from calibrate.evaluation.numbers import Numbers, mean_numbers
from calibrate.evaluation.request import EvaluationRequest, framing_of, select
from calibrate.evaluation.rows import EvaluatedImage
from calibrate.evaluation.verdicts import Confusion, Counts, confusion, kinds
from fbclip.artefacts.compatibility import RunningModel
from fbclip.detector import Detector
from fbclip.images.framing import Framing
from fbclip.memory.fusion import Fusion

SHOWN = 5


@dataclass(frozen=True)
class Evaluation:
    """rows: one a labelled image, rejected ones with a profile too; skipped: left out or rejected, one line each.

    empty_masks: anomalous images whose mask holds nothing at the map's resolution or outside the region of interest;
    without_mask: anomalous images left out of the pixel numbers.
    """

    rows: tuple[EvaluatedImage, ...]
    samples: dict[str, Sample]
    classes: dict[str, Numbers]
    mean: Numbers
    curves: dict[str, ClassCurves]
    confusion: Confusion | None
    kinds: dict[str, dict[str, Counts]]
    data_sha256: str
    part: str
    unlabelled: int
    without_mask: int
    empty_masks: int
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    running: RunningModel
    fusion: Fusion | None
    framing: Framing
    paper: bool


def evaluate(
    detector: Detector, adapter: str, data: DataSet, plan: EvaluationRequest, advance: Callable[[int], None]
) -> Evaluation:
    """Judge every labelled image of the plan's part; `advance` hears how many are done.

    Classes come one after the other and maps are dropped as soon as their pixels are in the class's PixelStore, so
    memory is bounded whatever the set's size. Raises DataError for images that were used before, cannot be judged or
    have a foreign mask (the last two are left out with `skip_bad`), ConfigError for a profile of another model.
    """
    framing = framing_of(detector, adapter, plan)
    chosen, part = select(data, plan.part)
    check_unseen(data, chosen, plan.seen, None if plan.profile is None else plan.profile.profile)
    labelled = [s for s in chosen if s.label is not None]
    if not labelled:
        raise DataError(f"{data.root}: none of the {len(chosen)} images has a label; sort them into good and bad")
    faults = find_faults(labelled, data.root)
    if not plan.skip_bad:
        _refuse([*faults.images, *faults.masks.values()])
    usable = [s for s in labelled if s.path not in faults.masks]
    judge = ClassEvaluator(detector, adapter, data.root, plan, framing, advance)
    classes: dict[str, Numbers] = {}
    curves: dict[str, ClassCurves] = {}
    for name in dict.fromkeys(s.class_name for s in usable):
        classes[name], curves[name] = judge.one_class([s for s in usable if s.class_name == name])
    if not plan.skip_bad:
        _refuse(judge.rejected)
    mean = mean_numbers(classes.values())
    unlabelled = len(chosen) - len(labelled)
    return Evaluation(
        rows=tuple(judge.rows),
        samples=judge.samples,
        classes=classes,
        mean=mean,
        curves=curves,
        confusion=confusion(judge.rows),
        kinds=kinds(judge.rows),
        data_sha256=data_sha256(chosen),
        part=part,
        unlabelled=unlabelled,
        without_mask=judge.without_mask,
        empty_masks=judge.empty_masks,
        skipped=(*faults.masks.values(), *judge.rejected),
        notes=tuple(_notes(data, judge, classes, unlabelled)),
        running=detector.running(adapter, plan.memory),
        fusion=plan.fusion,
        framing=framing,
        paper=plan.paper,
    )


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        shown = ", ".join(faults[:SHOWN]) + (f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else "")
        raise DataError(
            f"{len(faults)} images or masks cannot be used; mend them or leave them out with --skip-bad: {shown}"
        )


def _notes(data: DataSet, judge: ClassEvaluator, classes: dict[str, Numbers], unlabelled: int) -> list[str]:
    notes = [f"{len(data.problems)} notes on the data; `calibrate data` lists them"] if data.problems else []
    if unlabelled:
        notes.append(f"{unlabelled} images without a label are left out")
    if judge.profile is not None and judge.profile.device != judge.device:
        notes.append(f"the profile was measured on {judge.profile.device}, this run on {judge.device}")
    for name, numbers in classes.items():
        labels = {row.label for row in judge.rows if row.class_name == name and row.margin is not None}
        if len(labels) < 2:
            what = "no" if not labels else "only anomalous" if True in labels else "only normal"
            notes.append(f"{name}: {what} images were judged, so there are no image numbers")
        if numbers.pixel_auroc is None:
            notes.append(f"{name}: no masks, or nothing of them on the maps, so there are no pixel numbers")
    if judge.without_mask:
        notes.append(f"{judge.without_mask} anomalous images without a mask are left out of the pixel numbers")
    if judge.empty_masks:
        notes.append(
            f"{judge.empty_masks} masks are empty on the map (outside the region of interest, or smaller than half a "
            "map pixel); their images count as normal pixels"
        )
    return notes
