"""What came of a run: tuning.json, its text for people, and the adapter that is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from calibrate.tuning.comparison import AdapterComparison, Change, KeepDecision
from calibrate.tuning.loop import EpochLosses, TrainedRun
from calibrate.tuning.split import MODE_TEXT, Mode, TuningSplit
from fbclip.artefacts.adapter import Adapter, save_adapter
from fbclip.files import write_atomically
from fbclip.frozen import Frozen

REPORT_FILE = "tuning.json"
SCHEMA: Literal["fbclip.tuning/1"] = "fbclip.tuning/1"
_DECISION_TEXT: dict[KeepDecision, str] = {
    "kept": "kept: the tuned adapter is better",
    "not better, base kept": "not better: the base is kept",
    "undecided, base kept": "undecided: fewer than 20 normal and 20 anomalous units to compare on; the base is kept",
    "no base": "no base: there is nothing to compare with; the tuned adapter is written",
}


class ComparedUnits(Frozen):
    """How many units the adapters were compared on."""

    normal: int = Field(serialization_alias="good_units")
    anomalous: int = Field(serialization_alias="defective_units")


class ItemCounts(Frozen):
    """Images, as they are and painted, that trained, stopped the training and compared the adapters."""

    train: int = Field(serialization_alias="tune")
    validation: int = Field(serialization_alias="stop")
    test: int = Field(serialization_alias="judge")


class TuningDocument(Frozen):
    """tuning.json, whose names are the aliases. adapter: id of the one that is written, one of `base` and `tuned`.

    forced: the tuned adapter is written though it is not better. synthetic: the defects were painted.
    best_epoch counts from 1. Without a base there is no change of a metric.
    """

    schema_: Literal["fbclip.tuning/1"] = Field(SCHEMA, serialization_alias="schema")
    adapter: str
    base: str | None
    tuned: str
    mode: Mode
    decision: KeepDecision
    forced: bool
    synthetic: bool = Field(serialization_alias="synthetic_evidence")
    units: ComparedUnits = Field(serialization_alias="judge")
    image_auroc: Change | None
    pixel_auroc: Change | None
    items: ItemCounts
    epochs: tuple[EpochLosses, ...]
    best_epoch: int

    def values(self) -> dict[str, Any]:
        """As it is stored."""
        return self.model_dump(mode="json", by_alias=True)

    def result(self) -> dict[str, Any]:
        """The same without the names of the adapters, for the provenance of one of them."""
        return self.model_dump(mode="json", by_alias=True, exclude={"schema_", "adapter", "base", "tuned"})


@dataclass(frozen=True, eq=False)
class Outcome:
    """Both adapters, the comparison of them, and whether the tuned one is kept against it (`forced`)."""

    split: TuningSplit
    trained: TrainedRun
    tuned: Adapter
    base: Adapter | None
    comparison: AdapterComparison
    forced: bool

    @property
    def keeps_tuned(self) -> bool:
        return self.forced or self.comparison.tuned_is_better

    @property
    def adapter(self) -> Adapter:
        """The one to use."""
        return self.tuned if self.keeps_tuned or self.base is None else self.base

    def document(self) -> TuningDocument:
        split, comparison = self.split, self.comparison
        return TuningDocument(
            adapter=self.adapter.id,
            base=None if self.base is None else self.base.id,
            tuned=self.tuned.id,
            mode=split.mode,
            decision=comparison.decision,
            forced=self.forced and not comparison.tuned_is_better,
            synthetic=split.mode == "good only",
            units=ComparedUnits(normal=comparison.normal_units, anomalous=comparison.anomalous_units),
            image_auroc=comparison.image,
            pixel_auroc=comparison.pixel,
            items=ItemCounts(train=len(split.train), validation=len(split.validation), test=len(split.test)),
            epochs=self.trained.epochs,
            best_epoch=self.trained.best + 1,
        )


def write_outcome(outcome: Outcome, base_folder: Path | None, out: Path) -> TuningDocument:
    """The adapter that is kept, and tuning.json beside it; each file whole or not there. Raises OSError."""
    document = outcome.document()
    if outcome.keeps_tuned or base_folder is None:
        save_adapter(outcome.tuned, out)
    else:
        # File by file, as they are: written anew, a base of an older version would get another id.
        for name in ("adapter.safetensors", "adapter.json"):
            write_atomically(out / name, (base_folder / name).read_bytes())
    write_atomically(out / REPORT_FILE, (json.dumps(document.values(), indent=2) + "\n").encode())
    return document


def outcome_text(document: TuningDocument, out: Path) -> str:
    """The same for people, a few lines."""
    units = document.units
    lines = [
        f"mode: {MODE_TEXT[document.mode]}",
        f"epochs: {len(document.epochs)}, best {document.best_epoch}",
        f"compared on {units.normal} normal and {units.anomalous} anomalous units that tuning did not see",
    ]
    for name, change in (("image AUROC", document.image_auroc), ("pixel AUROC", document.pixel_auroc)):
        if change is not None:
            lines.append(
                f"{name}: {change.before:.4f} -> {change.after:.4f}, difference {change.difference:+.4f} "
                f"(95 % interval {change.low:+.4f} to {change.high:+.4f})"
            )
    if document.synthetic:
        lines.append("this is a synthetic comparison: the defects were painted, of kinds that tuning was not shown")
    forced = "; but --keep keeps the tuned one" if document.forced else ""
    lines.append(f"{_DECISION_TEXT[document.decision]}{forced}")
    lines.append(f"{out}: adapter {document.adapter[:12]}")
    return "\n".join(lines)
