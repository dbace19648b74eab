"""The images of one class -> scalars, numbers and curves; every map is dropped as soon as it is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calibrate.datasets.masks import true_mask
from calibrate.datasets.sample import Sample
from calibrate.evaluation.document import ClassCurves, Numbers
from calibrate.evaluation.evaluated_images import EvaluatedImage
from calibrate.evaluation.numbers import ImageNumbers, image_numbers
from calibrate.evaluation.pixels import ClassPixels, PaperMaps, PixelNumbers
from calibrate.inference import Scored, Skipped, View
from fbclip.artefacts.profile import Profile
from fbclip.decision import Verdict, reject


@dataclass(frozen=True, eq=False)
class ClassEvaluation:
    """images: one a sample, in order; without_mask, empty_masks: see EvaluatedData."""

    images: tuple[EvaluatedImage, ...]
    numbers: Numbers
    curves: ClassCurves
    skipped: tuple[Skipped, ...]
    without_mask: int
    empty_masks: int


@dataclass(frozen=True, eq=False)
class ClassEvaluator:
    """How images are scored and decided on. root: of the data set; paper: makes probability maps by its definition."""

    view: View
    root: Path
    profile: Profile | None = None
    paper: PaperMaps | None = None

    def evaluate(self, samples: Sequence[Sample], advance: Callable[[int], None]) -> ClassEvaluation:
        """The samples of one class, all labelled; `advance` hears how many more are done."""
        images: list[EvaluatedImage] = []
        skipped: list[Skipped] = []
        without_mask = empty_masks = 0
        has_masks = any(s.mask is not None for s in samples)
        with ClassPixels() as pixels:
            for result in self.view.score(samples, advance):
                if isinstance(result, Skipped):
                    skipped.append(result)
                    images.append(self._rejected(result))
                    continue
                images.append(self._decided(result))
                values = result.prediction.map
                mask = true_mask(result.sample, result.placement, (values.shape[0], values.shape[1]))
                if mask is None:
                    without_mask += 1
                elif has_masks:
                    empty_masks += bool(result.sample.label) and not mask.any()
                    scores = values if self.paper is None else self.paper.probabilities(values)
                    pixels.add(scores, mask, result.ignore)
            pixel = pixels.numbers(self.paper is not None) if has_masks else PixelNumbers()
        image = image_numbers(images, self.paper is not None)
        return ClassEvaluation(
            tuple(images), _numbers(image, pixel), _curves(image, pixel), tuple(skipped), without_mask, empty_masks
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
