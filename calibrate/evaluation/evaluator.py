"""The images of one class after the other -> rows, numbers and curves; maps are dropped at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibrate.datasets.sample import Sample
from calibrate.evaluation.masks import map_mask
from calibrate.evaluation.numbers import Numbers, Points, image_numbers
from calibrate.evaluation.paper import PaperMaps
from calibrate.evaluation.pixels import ClassPixels, PixelNumbers
from calibrate.evaluation.request import EvaluationRequest
from calibrate.evaluation.rows import EvaluatedImage
from calibrate.inference import Scored, Skipped, View
from fbclip.decision import Verdict
from fbclip.detector import Detector
from fbclip.images.framing import Framing


@dataclass(frozen=True)
class ClassCurves:
    """Thinned points (x, y): image ROC and PR, PRO over the pixels' FPR, pixel ROC and PR; empty where undefined."""

    roc: Points
    pr: Points
    pro: Points
    pixel_roc: Points
    pixel_pr: Points


class ClassEvaluator:
    """What grows while the classes are judged."""

    def __init__(
        self,
        detector: Detector,
        adapter: str,
        root: Path,
        plan: EvaluationRequest,
        framing: Framing,
        advance: Callable[[int], None],
    ) -> None:
        self._view = View(detector, adapter, framing, plan.memory, plan.fusion)
        self._root, self._advance = root, advance
        self.profile = None if plan.profile is None else plan.profile.profile
        self._paper: PaperMaps | None = None
        if plan.paper:
            sigma = detector.smoothing[adapter]
            self._paper = PaperMaps(detector.size, detector.backbone.config.patch_size, sigma)
        self.rows: list[EvaluatedImage] = []
        self.samples: dict[str, Sample] = {}
        self.rejected: list[str] = []
        self.without_mask = self.empty_masks = 0
        self.device = detector.device.type

    def one_class(self, samples: Sequence[Sample]) -> tuple[Numbers, ClassCurves]:
        """Rows, numbers and curves of the samples of one class; the store is gone afterwards."""
        rows: list[EvaluatedImage] = []
        has_masks = any(s.mask is not None for s in samples)
        pixel = PixelNumbers()
        with ExitStack() as stack:
            store = stack.enter_context(ClassPixels()) if has_masks else None
            for result in self._view.score(samples, self._advance):
                if isinstance(result, Skipped):
                    rows.append(self._rejected(result))
                else:
                    rows.append(self._row(result))
                    self._pixels(store, result)
            if store is not None:
                pixel = store.numbers(self._paper is not None)
        self.rows += rows
        self.samples |= {self._name(s): s for s in samples}
        image = image_numbers(rows, self._paper is not None)
        numbers = Numbers(
            image.auroc,
            image.average_precision,
            image.f1_max,
            pixel.auroc,
            pixel.average_precision,
            pixel.f1_max,
            pixel.aupro,
        )
        return numbers, ClassCurves(image.roc, image.pr, pixel.pro, pixel.roc, pixel.pr)

    def _row(self, scored: Scored) -> EvaluatedImage:
        prediction, sample = scored.prediction, scored.sample
        decision = None
        if self.profile is not None:
            decision = self.profile.decide(prediction, scored.placement, scored.ignore)
        return EvaluatedImage(
            path=self._name(sample),
            class_name=sample.class_name,
            label=bool(sample.label),
            kind=sample.kind,
            unit=sample.unit,
            sha256=sample.sha256,
            margin=prediction.margin,
            score=prediction.score,
            z=None if decision is None else decision.z,
            verdict=None if decision is None else decision.verdict.value,
            peak=float(prediction.map.max()),
        )

    def _pixels(self, store: ClassPixels | None, scored: Scored) -> None:
        sample, values = scored.sample, scored.prediction.map
        if sample.label and sample.mask is None:
            self.without_mask += 1
        if store is None or (sample.label and sample.mask is None):
            return
        mask = np.zeros(values.shape, dtype=np.bool_)
        if sample.label and sample.mask is not None:
            mask = map_mask(sample.mask, scored.placement, (values.shape[0], values.shape[1]))
            self.empty_masks += not mask.any()
        store.add(values if self._paper is None else self._paper.probabilities(values), mask, scored.ignore)

    def _rejected(self, skipped: Skipped) -> EvaluatedImage:
        """A profile's verdict on what cannot be judged is `rejected`, as on the line."""
        sample = skipped.sample
        name = self._name(sample)
        self.rejected.append(f"{name} ({skipped.reason})")
        verdict = None if self.profile is None else Verdict.REJECTED.value
        return EvaluatedImage(
            name, sample.class_name, bool(sample.label), sample.kind, sample.unit, sample.sha256, verdict=verdict
        )

    def _name(self, sample: Sample) -> str:
        return sample.path.relative_to(self._root).as_posix()
