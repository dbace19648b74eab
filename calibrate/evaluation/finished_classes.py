"""The classes that an interrupted evaluation has finished: one file each, beside the folder of the run.

A class counts as finished for exactly the same images, units, labels and masks, model, memory, framing, profile and
definition; anything else is evaluated anew. What was judged of the interrupted class is lost: maps are not kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import Field, NonNegativeInt, ValidationError

from calibrate.datasets.sample import Sample
from calibrate.evaluation.document import ClassCurves, EvaluationPart, Numbers
from calibrate.evaluation.evaluated_images import EvaluatedImage
from calibrate.evaluation.evaluator import ClassEvaluation, ClassNumbers, relative_name
from calibrate.inference import Skipped, View
from calibrate.memory.provenance import framing_record
from fbclip import __version__
from fbclip.files import canonical_json, file_sha256, write_atomically

MAX_BYTES = 1 << 30
_NAME = re.compile(r"[0-9a-f]{64}\.json")


class FinishedClass(EvaluationPart):
    """`ClassEvaluation` as it is stored; skipped: path below the data root, and the reason.

    worst_slices: path of a volume, and the place of its worst slice among the samples.
    """

    images: tuple[EvaluatedImage, ...]
    numbers: Numbers
    curves: ClassCurves
    skipped: tuple[tuple[str, str], ...] = ()
    without_mask: NonNegativeInt
    empty_masks: NonNegativeInt
    volumes: NonNegativeInt = 0
    worst_slices: dict[str, NonNegativeInt] = Field({})
    paper_numbers: Numbers | None = None
    paper_curves: ClassCurves | None = None


@dataclass(frozen=True)
class FinishedClasses:
    """folder: need not be there, and goes when nothing is left in it; root: of the data set."""

    folder: Path
    root: Path

    def get(self, key: str, samples: Sequence[Sample]) -> ClassEvaluation | None:
        """What was found of the class with this key; None where it is not there, or damaged."""
        path = self.folder / f"{key}.json"
        try:
            if path.stat().st_size > MAX_BYTES:
                return None
            stored = FinishedClass.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None
        of = {relative_name(s, self.root): s for s in samples}
        if any(image.path not in of for image in stored.images) or any(name not in of for name, _ in stored.skipped):
            return None
        if any(place >= len(samples) for place in stored.worst_slices.values()):
            return None
        paper = None
        if stored.paper_numbers is not None and stored.paper_curves is not None:
            paper = ClassNumbers(stored.paper_numbers, stored.paper_curves)
        return ClassEvaluation(
            stored.images,
            stored.numbers,
            stored.curves,
            tuple(Skipped(of[name], reason) for name, reason in stored.skipped),
            stored.without_mask,
            stored.empty_masks,
            stored.volumes,
            {path: samples[place] for path, place in stored.worst_slices.items()},
            paper,
        )

    def put(self, key: str, found: ClassEvaluation, samples: Sequence[Sample]) -> None:
        """Raises OSError."""
        places = {id(sample): place for place, sample in enumerate(samples)}
        values = {
            "images": [asdict(image) for image in found.images],
            "numbers": found.numbers.model_dump(),
            "curves": found.curves.model_dump(),
            "skipped": [[relative_name(one.sample, self.root), one.reason] for one in found.skipped],
            "without_mask": found.without_mask,
            "empty_masks": found.empty_masks,
            "volumes": found.volumes,
            "worst_slices": {path: places[id(sample)] for path, sample in found.worst_slices.items()},
            "paper_numbers": None if found.paper is None else found.paper.numbers.model_dump(),
            "paper_curves": None if found.paper is None else found.paper.curves.model_dump(),
        }
        write_atomically(self.folder / f"{key}.json", json.dumps(values, allow_nan=False).encode())

    def clear(self) -> None:
        """Deletes what `put` wrote, and the folder where it is then empty. Raises OSError."""
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if _NAME.fullmatch(path.name):
                path.unlink()
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def unfinished_folder(out: Path) -> Path:
    """Where the finished classes of a run lie that is to be written to `out`."""
    return out.with_name(f"{out.name}.unfinished")


def class_key(
    samples: Sequence[Sample], view: View, root: Path, profile: str | None, definitions: Sequence[str]
) -> str:
    """Hex digest of everything that the numbers of these samples depend on; reads the masks' bytes. Raises OSError."""
    running, mask = view.detector.running(view.adapter, view.memory), view.framing.mask
    values = {
        "samples": [
            [
                *(relative_name(s, root), s.sha256, s.unit, s.label, s.class_name, s.kind, s.slice),
                None if s.mask is None else file_sha256(s.mask),
            ]
            for s in samples
        ],
        "model": [running.backbone, running.backbone_sha256, running.adapter, running.memory, running.size],
        "runs": [running.device, running.precision, view.detector.smoothing[view.adapter], __version__],
        "fusion": None if view.fusion is None else view.fusion.model_dump(mode="json"),
        "framing": framing_record(view.framing),
        "ignored": None if mask is None else [list(mask.shape), hashlib.sha256(mask.tobytes()).hexdigest()],
        "profile": profile,
        "definitions": list(definitions),
    }
    return hashlib.sha256(canonical_json(values)).hexdigest()
