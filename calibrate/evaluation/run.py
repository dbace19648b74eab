"""An evaluation as files: evaluation.json, samples.csv, metrics.csv, summary.md and the worst images."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from calibrate.datasets.sample import DataSet
from calibrate.evaluation.evaluate import Evaluation
from calibrate.evaluation.folder import MAIN, SCHEMA, replace_folder
from calibrate.evaluation.numbers import NAMES, Numbers
from calibrate.evaluation.rows import EvaluatedImage
from calibrate.evaluation.summary import summary
from calibrate.evaluation.worst import WorstImage
from fbclip.artefacts.profile import Profile

COLUMNS = ("path", "class", "label", "kind", "unit", "margin", "score", "z", "verdict", "sha256")
PACKAGES = ("fbclip-inspect", "torch", "numpy", "scipy", "open_clip_torch", "opencv-python-headless", "pillow")


@dataclass(frozen=True)
class Context:
    """What a run rests on besides its numbers; command: the words typed, without folders of this machine."""

    data: DataSet
    profile: Profile | None
    heat_limits: tuple[float, float] | None
    command: tuple[str, ...] = ()


def document(evaluation: Evaluation, context: Context, worst: Sequence[WorstImage]) -> dict[str, Any]:
    """evaluation.json: only the data's last folder name, no path of this machine."""
    running, framing, rows = evaluation.running, evaluation.framing, evaluation.rows
    return {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "definition": "paper" if evaluation.paper else "exact",
        "data": {
            "name": context.data.root.resolve().name,
            "layout": context.data.layout,
            "split": evaluation.part,
            "data_sha256": evaluation.data_sha256,
            "n_good": sum(not row.label for row in rows),
            "n_defective": sum(row.label for row in rows),
            "n_units": len({(row.class_name, row.unit) for row in rows}),
            "n_unlabelled": evaluation.unlabelled,
            "n_without_mask": evaluation.without_mask,
            "n_empty_masks": evaluation.empty_masks,
            "skipped": list(evaluation.skipped),
        },
        "model": {
            "backbone": running.backbone,
            "backbone_sha256": running.backbone_sha256,
            "adapter": running.adapter,
            "memory": running.memory,
            "fusion": None if evaluation.fusion is None else evaluation.fusion.model_dump(mode="json"),
            "device": running.device,
            "precision": running.precision,
            "size": running.size,
        },
        "framing": {
            "roi": None if framing.roi is None else framing.roi.model_dump(),
            "tiling": None if framing.tiling is None else framing.tiling.model_dump(),
            "ignore_mask": framing.mask is not None,
        },
        "profile": None if context.profile is None else _profile(context.profile),
        "classes": {name: numbers.as_dict() for name, numbers in evaluation.classes.items()},
        "mean": evaluation.mean.as_dict(),
        "confusion": None if evaluation.confusion is None else evaluation.confusion.as_dict(),
        "kinds": evaluation.kinds,
        "curves": {name: asdict(curves) for name, curves in evaluation.curves.items()},
        "heat_limits": context.heat_limits,
        "worst": [{"file": w.file, "path": w.path, "kind": w.kind, "score": w.score} for w in worst],
        "notes": list(evaluation.notes),
        "command": list(context.command),
        "versions": _versions(),
    }


def write_run(out: Path, evaluation: Evaluation, document: dict[str, Any], worst: Iterable[WorstImage]) -> None:
    """All files at once, in place of an earlier run; raises DataError for a folder that holds something else."""
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)
    files = {
        MAIN: (text + "\n").encode(),
        "samples.csv": _csv(COLUMNS, map(_cells, evaluation.rows)),
        "metrics.csv": _csv(("class", *NAMES), _metric_rows(evaluation)),
        "summary.md": summary(evaluation, document).encode(),
    }
    replace_folder(out, files | {image.file: image.jpeg for image in worst})


def public_words(argv: Sequence[str]) -> tuple[str, ...]:
    """The command line as it may be shown: of every absolute path only the last name, alone or after `=`."""
    words = []
    for word in argv:
        name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        words.append(f"{name}{equals}{Path(value).name if Path(value).is_absolute() else value}")
    return tuple(words)


def _profile(profile: Profile) -> dict[str, Any]:
    return {
        "id": profile.id,
        "line": profile.line,
        "threshold": profile.threshold,
        "uncertain_above": profile.uncertain_above,
        "map_limits": list(profile.map_limits),
        "fusion_choice": None if profile.fusion_choice is None else profile.fusion_choice.model_dump(mode="json"),
        "calibration": profile.calibration.model_dump(mode="json"),
    }


def _cells(row: EvaluatedImage) -> list[str]:
    label = "defective" if row.label else "good"
    numbers = ["" if value is None else repr(value) for value in (row.margin, row.score, row.z)]
    return [row.path, row.class_name, label, row.kind or "", row.unit, *numbers, row.verdict or "", row.sha256]


def _metric_rows(evaluation: Evaluation) -> list[list[str]]:
    both: list[tuple[str, Numbers]] = [*evaluation.classes.items(), ("mean", evaluation.mean)]
    return [
        [name, *("" if value is None else repr(value) for value in numbers.as_dict().values())]
        for name, numbers in both
    ]


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
