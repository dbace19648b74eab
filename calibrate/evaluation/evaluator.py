"""The images of one class -> scalars, numbers and curves; every map is dropped as soon as it is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from calibrate.datasets.masks import true_mask
from calibrate.datasets.sample import Sample
from calibrate.evaluation.document import ClassCurves, Numbers
from calibrate.evaluation.evaluated_images import EvaluatedImage
from calibrate.evaluation.numbers import ImageNumbers, image_numbers
from calibrate.evaluation.pixels import ClassPixels, PaperMaps, PixelNumbers
from calibrate.evaluation.shares import SharedView
from calibrate.inference import EMPTY_SLICE, Scored, Skipped, View
from fbclip.artefacts.profile import Profile
from fbclip.decision import GRAVITY, Verdict, reject


@dataclass(frozen=True, eq=False)
class ClassNumbers:
    """By one definition."""

    numbers: Numbers
    curves: ClassCurves


@dataclass(frozen=True, eq=False)
class ClassEvaluation:
    """images: one a file, in order; without_mask, empty_masks: see EvaluatedData; volumes: files of several slices, and
    worst_slices what stands for each of them, by its path as in `images`; paper: by the paper's definition as well."""

    images: tuple[EvaluatedImage, ...]
    numbers: Numbers
    curves: ClassCurves
    skipped: tuple[Skipped, ...]
    without_mask: int
    empty_masks: int
    volumes: int = 0
    worst_slices: dict[str, Sample] = field(default_factory=dict)
    paper: ClassNumbers | None = None


_Slice = tuple[Sample, EvaluatedImage]


@dataclass(frozen=True, eq=False)
class ClassEvaluator:
    """How images are scored and decided on. root: of the data set; paper: makes probability maps by its definition.

    both: numbers by the exact definition too, of the same predictions.
    """

    view: View | SharedView
    root: Path
    profile: Profile | None = None
    paper: PaperMaps | None = None
    both: bool = False

    def evaluate(self, samples: Sequence[Sample], advance: Callable[[int], None]) -> ClassEvaluation:
        """The samples of one class, all labelled; `advance` hears how many more are done."""
        slices: dict[Path, list[_Slice]] = {}
        images: dict[Path, EvaluatedImage] = {}
        skipped: dict[Path, Skipped] = {}
        without_mask = empty_masks = 0
        has_masks = any(s.mask is not None for s in samples)
        maps = [None, self.paper] if self.both else [self.paper]
        with ExitStack() as stack:
            stores = [stack.enter_context(ClassPixels()) for _ in maps]
            for result in self.view.score(samples, advance):
                path = result.sample.volume
                of_volume = result.sample.slice is not None
                if isinstance(result, Skipped):
                    image = self._rejected(result)
                    if not (of_volume and result.reason == EMPTY_SLICE):
                        skipped.setdefault(path, result)
                else:
                    image = self._decided(result)
                if of_volume:
                    slices.setdefault(path, []).append((result.sample, image))
                images[path] = image
                if of_volume or isinstance(result, Skipped):
                    continue
                values = result.prediction.map
                mask = true_mask(result.sample, result.placement, (values.shape[0], values.shape[1]))
                if mask is None:
                    without_mask += 1
                elif has_masks:
                    empty_masks += bool(result.sample.label) and not mask.any()
                    for store, made in zip(stores, maps, strict=True):
                        store.add(values if made is None else made.probabilities(values), mask, result.ignore)
            pixel = [
                store.numbers(made is not None) if has_masks else PixelNumbers()
                for store, made in zip(stores, maps, strict=True)
            ]
        worst_slices = {}
        for path, judged in slices.items():
            worst, images[path] = _of_volume(judged)
            worst_slices[images[path].path] = worst
        found = []
        for own, made in zip(pixel, maps, strict=True):
            whole = image_numbers(list(images.values()), made is not None)
            found.append(ClassNumbers(_numbers(whole, own), _curves(whole, own)))
        return ClassEvaluation(
            tuple(images.values()),
            found[0].numbers,
            found[0].curves,
            tuple(skipped.values()),
            without_mask,
            empty_masks,
            len(worst_slices),
            worst_slices,
            found[1] if self.both else None,
        )

    def _decided(self, scored: Scored) -> EvaluatedImage:
        prediction = scored.prediction
        decision = None
        if self.profile is not None:
            decision = self.profile.decide(prediction, scored.placement, scored.ignore)
            if scored.fault is not None:
                decision = reject(scored.fault, self.profile.threshold)
        return replace(
            self._unjudged(scored.sample),
            margin=prediction.margin,
            score=prediction.score,
            z=None if decision is None else decision.z,
            verdict=None if decision is None else decision.verdict,
            peak=float(prediction.map.max()),
            reason=None if decision is None else decision.reason,
        )

    def _rejected(self, skipped: Skipped) -> EvaluatedImage:
        """A profile's verdict on what cannot be judged is `rejected`, as on the line."""
        verdict = None if self.profile is None else Verdict.REJECTED
        return replace(self._unjudged(skipped.sample), verdict=verdict, reason=skipped.reason)

    def _unjudged(self, sample: Sample) -> EvaluatedImage:
        return EvaluatedImage(
            path=relative_name(sample, self.root),
            class_name=sample.class_name,
            anomalous=bool(sample.label),
            kind=sample.kind,
            unit=sample.unit,
            sha256=sample.sha256,
        )


def _of_volume(slices: Sequence[_Slice]) -> _Slice:
    """A file of several slices as one image, and its worst slice. Empty ones are not judged, as on the line."""
    judged = [one for one in slices if one[1].reason != EMPTY_SLICE] or list(slices)
    sample, image = max(judged, key=lambda one: _gravity(one[1]))
    scores = [(one.margin, one.score) for _, one in judged if one.margin is not None]
    margin, score = max(scores, key=lambda pair: pair[0]) if scores else (None, None)
    peak = max((one.peak for _, one in judged if one.peak is not None), default=None)
    return sample, replace(image, margin=margin, score=score, peak=peak)


def _gravity(image: EvaluatedImage) -> tuple[int, float]:
    """What a volume's worst slice is chosen by: as the agent does, without a profile by the margin alone."""
    rank = image.rank
    return 0 if image.verdict is None else GRAVITY[image.verdict], float("-inf") if rank is None else rank


def relative_name(sample: Sample, root: Path) -> str:
    """A sample's path below the data root, with slashes."""
    return sample.path.relative_to(root).as_posix()


def _numbers(image: ImageNumbers, pixel: PixelNumbers) -> Numbers:
    return Numbers(
        image_auroc=image.auroc,
        image_ap=image.average_precision,
        image_f1_max=image.f1_max,
        pixel_auroc=pixel.auroc,
        pixel_ap=pixel.average_precision,
        pixel_f1_max=pixel.f1_max,
        pixel_aupro=pixel.aupro,
    )


def _curves(image: ImageNumbers, pixel: PixelNumbers) -> ClassCurves:
    return ClassCurves(roc=image.roc, pr=image.pr, pro=pixel.pro, pixel_roc=pixel.roc, pixel_pr=pixel.pr)
