"""samples.csv of a run: what the charts need of every judged image."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from calibrate.errors import DataError
from calibrate.report.documents import first_line

MAX_SAMPLES = 256 << 20
# Scores are float32; what is larger is no score.
LARGEST = 3.5e38
_COLUMNS = ("class", "label", "unit", "margin", "z", "verdict")
_LABELS = {"good": False, "0": False, "false": False, "defective": True, "1": True, "true": True}


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One judged image; `anomalous` is None where the set does not say."""

    class_name: str
    anomalous: bool | None
    unit: str
    margin: float | None
    z: float | None
    verdict: str


def read_rows(path: Path) -> Iterator[ReportRow]:
    """In the file's order; raises DataError, one line that names the file and the line of it."""
    if path.stat().st_size > MAX_SAMPLES:
        raise DataError(f"{path}: larger than {MAX_SAMPLES} bytes")
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        try:
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(f"no column {', '.join(missing)}")
            for record in reader:
                yield _row(record)
        except (csv.Error, ValueError) as error:
            raise DataError(f"{path}: line {reader.line_num}: {first_line(error)}") from error


def _row(record: dict[str, str | None]) -> ReportRow:
    text = {name: value or "" for name, value in record.items()}
    label = text["label"].strip().lower()
    if label and label not in _LABELS:
        raise ValueError(f"label {label[:40]!r} is neither good nor defective")
    return ReportRow(
        class_name=sys.intern(text["class"]),
        anomalous=_LABELS.get(label),
        unit=sys.intern(text["unit"]),
        margin=_number(text["margin"]),
        z=_number(text["z"]),
        verdict=sys.intern(text["verdict"]),
    )


def _number(text: str) -> float | None:
    value = float(text) if text.strip() else math.nan
    return value if abs(value) < LARGEST else None
