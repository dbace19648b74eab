"""A detector over a labelled data set -> the document of its numbers, and the scalars of every image."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby

from calibrate.datasets.sample import DataSet, Sample, data_sha256
from calibrate.datasets.slices import with_slices
from calibrate.errors import DataError
from calibrate.evaluation.document import (
    EvaluatedData,
    EvaluatedFraming,
    EvaluatedModel,
    EvaluatedProfile,
    EvaluationDocument,
)
from calibrate.evaluation.evaluated_images import EvaluatedImage
from calibrate.evaluation.evaluator import ClassEvaluation, ClassEvaluator, relative_name
from calibrate.evaluation.finished_classes import FinishedClasses, class_key
from calibrate.evaluation.numbers import mean_numbers
from calibrate.evaluation.pixels import PaperMaps
from calibrate.evaluation.request import EvaluationRequest, check_not_fitted, find_faults, framing_of, images_of
from calibrate.evaluation.shares import SharedView
from calibrate.evaluation.verdicts import confusion, kinds, rejected
from calibrate.inference import Scored, Skipped, View
from calibrate.processes import ALONE, ProcessGroup
from calibrate.wording import listed
from fbclip.detector import Detector
from fbclip.files import canonical_json

PACKAGES = ("fbclip-inspect", "torch", "numpy", "scipy", "open_clip_torch", "opencv-python-headless", "pillow")


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
    volumes = sum(found.volumes for found in classes.values())
    if volumes:
        notes.append(f"{volumes} volumes count once each, by their worst slice; pixel numbers leave them out")
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


@dataclass(frozen=True, eq=False)
class Evaluation:
    """images: one a labelled file, rejected ones too; samples: the same by the image's path, of a volume its worst
    slice; view: what scored them.

    The document has no heat limits, no worst images and no command yet. paper: the same by the paper's definition.
    """

    document: EvaluationDocument
    images: tuple[EvaluatedImage, ...]
    samples: dict[str, Sample]
    view: View
    adapters: Mapping[str, str] = field(default_factory=dict)
    paper: EvaluationDocument | None = None

    def score_again(self, samples: Sequence[Sample]) -> Iterator[Scored | Skipped]:
        """In order, each by the adapter of its class."""
        for name, own in groupby(samples, lambda sample: sample.class_name):
            view = replace(self.view, adapter=self.adapters.get(name, self.view.adapter))
            yield from view.score([*own])


def evaluate(
    detector: Detector,
    adapter: str,
    data: DataSet,
    request: EvaluationRequest,
    advance: Callable[[int], None] = lambda _: None,
    finished: FinishedClasses | None = None,
    processes: ProcessGroup = ALONE,
) -> Evaluation | None:
    """Judge every labelled image of the requested part; `advance` hears how many more are done.

    A class that is in `finished` is not judged again, and one that is judged is put there. Several processes share the
    images; only the first has an evaluation in the end.

    Classes come one after the other and maps are dropped as soon as their pixels are in the class's PixelStore, so
    memory is bounded whatever the set's size. Raises DataError for images that were used before, cannot be judged or
    have a foreign mask (the last two are left out with `skip_bad`), ConfigError for a profile of another model.
    """
    framing = framing_of(detector, adapter, request)
    # As a threshold is set: a volume is one unit, and its worst slice is what it is judged by.
    data = with_slices(data)
    chosen, part = images_of(data, request.part)
    check_not_fitted(data, chosen, request)
    labelled = [s for s in chosen if s.label is not None]
    if not labelled:
        raise DataError(f"{data.root}: none of the {len(chosen)} images has a label; sort them into good and bad")
    faults = find_faults(labelled, data.root)
    if not request.skip_bad:
        _refuse([*faults.images, *faults.masks.values()])
    usable = [s for s in labelled if s.path not in faults.masks]
    check = None if request.profile is None else request.profile.picture_check
    view = View(detector, adapter, framing, request.memory, request.fusion, check)
    found = _by_class(view, usable, data, request, advance, finished, processes)
    if not processes.first:
        return None
    unusable = [f"{relative_name(s.sample, data.root)} ({s.reason})" for one in found.values() for s in one.skipped]
    if not request.skip_bad:
        _refuse(unusable)
    images = tuple(image for one in found.values() for image in one.images)
    unlabelled = len(chosen) - len(labelled)
    document = EvaluationDocument(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        definition=request.definitions[0],
        data=EvaluatedData(
            name=data.root.resolve().name,
            layout=data.layout,
            split=part,
            data_sha256=data_sha256(chosen),
            normal=sum(not image.anomalous for image in images),
            anomalous=sum(image.anomalous for image in images),
            units=len({(image.class_name, image.unit) for image in images}),
            unlabelled=unlabelled,
            without_mask=sum(one.without_mask for one in found.values()),
            empty_masks=sum(one.empty_masks for one in found.values()),
            skipped=(*faults.masks.values(), *unusable),
        ),
        model=_model(view, request.adapters),
        framing=EvaluatedFraming(
            roi=framing.roi,
            tiling=framing.tiling,
            ignore_mask=framing.mask is not None,
            window=framing.window,
        ),
        profile=None if request.profile is None else EvaluatedProfile.of(request.profile),
        classes={name: one.numbers for name, one in found.items()},
        mean=mean_numbers(one.numbers for one in found.values()),
        confusion=confusion(images),
        kinds=kinds(images),
        rejected=rejected(images),
        curves={name: one.curves for name, one in found.items()},
        notes=evaluation_notes(data, request, detector.device.type, unlabelled, found),
        versions=_versions(),
    )
    shown = {relative_name(s, data.root): s for s in usable}
    shown |= {name: sample for one in found.values() for name, sample in one.worst_slices.items()}
    by_paper = _by_paper(document, found) if request.both else None
    return Evaluation(document, images, shown, view, request.adapters, by_paper)


def _by_paper(document: EvaluationDocument, found: Mapping[str, ClassEvaluation]) -> EvaluationDocument:
    """The same images and predictions by the other definition."""
    own = {name: one.paper for name, one in found.items() if one.paper is not None}
    changes = {
        "definition": "paper",
        "classes": {name: one.numbers for name, one in own.items()},
        "mean": mean_numbers(one.numbers for one in own.values()),
        "curves": {name: one.curves for name, one in own.items()},
    }
    return document.model_copy(update=changes)


def _by_class(
    view: View,
    samples: Sequence[Sample],
    data: DataSet,
    request: EvaluationRequest,
    advance: Callable[[int], None],
    finished: FinishedClasses | None,
    processes: ProcessGroup,
) -> dict[str, ClassEvaluation]:
    """Of the first process; the others only help it."""
    detector, paper = view.detector, None
    if request.by_paper:
        paper = PaperMaps(detector.size, detector.backbone_config.patch_size, detector.smoothing[view.adapter])
    profile = None if request.profile is None else request.profile.profile
    by_class: dict[str, list[Sample]] = {}
    for sample in samples:
        by_class.setdefault(sample.class_name, []).append(sample)
    found = {}
    for name, mine in by_class.items():
        own = replace(view, adapter=request.adapter_of(name, view.adapter))
        shared, before, key = SharedView(own, processes), None, ""
        if finished is not None and processes.first:
            key = class_key(mine, own, data.root, None if profile is None else profile.id, request.definitions)
            before = finished.get(key, mine)
        if processes.agreed(before is not None):
            advance(len(mine))
        elif processes.first:
            before = ClassEvaluator(shared, data.root, profile, paper, request.both).evaluate(mine, advance)
            if finished is not None and len(by_class) > 1:
                finished.put(key, before, mine)
        else:
            for _ in shared.score(mine):
                pass
        if before is not None:
            found[name] = before
    return found


def _model(view: View, adapters: Mapping[str, str]) -> EvaluatedModel:
    running = view.detector.running(view.adapter, view.memory)
    return EvaluatedModel(
        backbone=running.backbone,
        backbone_sha256=running.backbone_sha256,
        method=running.method,
        adapter=hashlib.sha256(canonical_json(dict(adapters))).hexdigest() if adapters else running.adapter,
        memory=running.memory,
        fusion=view.fusion,
        device=running.device,
        precision=running.precision,
        runtime=running.runtime,
        size=running.size,
    )


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise DataError(
            f"{len(faults)} images or masks cannot be used; mend them or leave them out with --skip-bad: "
            f"{listed(faults)}"
        )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
