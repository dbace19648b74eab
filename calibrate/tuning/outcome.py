"""What came of a run: the numbers for provenance, tuning.json and the terminal, and the adapter that is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibrate.tuning.loop import Trained
from calibrate.tuning.parts import MEANING, TuningSplit
from calibrate.tuning.verdict import Change, KeepDecision
from fbclip.artefacts.adapter import Adapter, save_adapter
from fbclip.files import write_atomically

REPORT_FILE = "tuning.json"


@dataclass(frozen=True, eq=False)
class Outcome:
    """Both adapters, the verdict between them, and whether the tuned one is kept against it."""

    parts: TuningSplit
    trained: Trained
    tuned: Adapter
    base: Adapter | None
    verdict: KeepDecision
    forced: bool

    @property
    def keeps_tuned(self) -> bool:
        return self.forced or self.verdict.tuned_is_better

    @property
    def adapter(self) -> Adapter:
        """The one to use."""
        return self.tuned if self.keeps_tuned or self.base is None else self.base


def numbers(parts: TuningSplit, trained: Trained, verdict: KeepDecision, forced: bool) -> dict[str, Any]:
    """The run as plain values."""
    return {
        "mode": parts.mode,
        "decision": verdict.decision,
        "forced": forced and not verdict.tuned_is_better,
        "synthetic_evidence": parts.mode == "good only",
        "judge": {"good_units": verdict.normal_units, "defective_units": verdict.anomalous_units},
        "image_auroc": _change(verdict.image),
        "pixel_auroc": _change(verdict.pixel),
        "items": {"tune": len(parts.tune), "stop": len(parts.stop), "judge": len(parts.judge)},
        "epochs": [{"train": e.train, "stop": e.stop} for e in trained.epochs],
        "best_epoch": trained.best + 1,
    }


def report(outcome: Outcome) -> dict[str, Any]:
    """tuning.json: the numbers, and which adapter is which."""
    return {
        "schema": "fbclip.tuning/1",
        "adapter": outcome.adapter.id,
        "base": None if outcome.base is None else outcome.base.id,
        "tuned": outcome.tuned.id,
        **numbers(outcome.parts, outcome.trained, outcome.verdict, outcome.forced),
    }


def write(outcome: Outcome, base_folder: Path | None, out: Path) -> dict[str, Any]:
    """The adapter that is kept, and tuning.json beside it; each file whole or not there. Raises OSError."""
    values = report(outcome)
    if outcome.keeps_tuned or base_folder is None:
        save_adapter(outcome.tuned, out)
    else:
        # File by file, as they are: written anew, a base of an older version would get another id.
        for name in ("adapter.safetensors", "adapter.json"):
            write_atomically(out / name, (base_folder / name).read_bytes())
    write_atomically(out / REPORT_FILE, (json.dumps(values, indent=2) + "\n").encode())
    return values


def text(values: Mapping[str, Any], out: Path) -> str:
    """A report for people."""
    judge = values["judge"]
    lines = [
        f"mode: {MEANING[values['mode']]}",
        f"epochs: {len(values['epochs'])}, best {values['best_epoch']}",
        f"judged on {judge['good_units']} normal and {judge['defective_units']} anomalous units unseen by tuning",
    ]
    for name, key in (("image AUROC", "image_auroc"), ("pixel AUROC", "pixel_auroc")):
        change = values[key]
        if change is not None:
            lines.append(
                f"{name}: {change['before']:.4f} -> {change['after']:.4f}, difference {change['difference']:+.4f} "
                f"(95 % interval {change['low']:+.4f} to {change['high']:+.4f})"
            )
    if values["synthetic_evidence"]:
        lines.append("this is synthetic evidence: the defects were painted, of kinds that tuning was not shown")
    why = {
        "kept": "kept: the tuned adapter is better",
        "not better, base kept": "not better: the base is kept",
        "undecided, base kept": "undecided: fewer than 20 normal and 20 anomalous units to judge on; the base is kept",
        "no base": "no base: there is nothing to compare with; the tuned adapter is written",
    }[values["decision"]]
    lines.append(f"{why}{'; but --keep keeps the tuned one' if values['forced'] else ''}")
    lines.append(f"{out}: adapter {values['adapter'][:12]}")
    return "\n".join(lines)


def _change(change: Change | None) -> dict[str, float] | None:
    if change is None:
        return None
    return {
        "before": change.before,
        "after": change.after,
        "difference": change.difference,
        "low": change.low,
        "high": change.high,
    }
