"""One evaluated image as scalars, what is left of it when its map is gone; samples.csv holds one a line."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from calibrate.documents import first_line
from calibrate.errors import DataError
from calibrate.evaluation.document import LARGEST
from fbclip.decision import Verdict

FILE = "samples.csv"
COLUMNS = ("path", "class", "label", "kind", "unit", "margin", "score", "z", "verdict", "sha256")
MAX_BYTES = 256 << 20
_LABELS = {"good": False, "defective": True}
_STORED = {label: text for text, label in _LABELS.items()}


@dataclass(frozen=True, slots=True)
class EvaluatedImage:
    """path: relative to the data root, with slashes; anomalous: its label.

    margin: logit difference in float32, None for an image that could not be judged; score: its probability in 0..1;
    z and verdict: None without a profile, and z also where the verdict is `rejected`; reason: why it is. peak: the
    map's largest margin. Neither reason nor peak is stored.
    """

    path: str
    class_name: str
    anomalous: bool
    kind: str | None
    unit: str
    sha256: str
    margin: float | None = None
    score: float | None = None
    z: float | None = None
    verdict: Verdict | None = None
    peak: float | None = None
    reason: str | None = None

    @property
    def rank(self) -> float | None:
        """What images are ordered by: z where a profile gives one, else the margin."""
        return self.margin if self.verdict is None else self.z


def images_csv(images: Iterable[EvaluatedImage]) -> bytes:
    """The file's text, UTF-8."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(_cells, images))
    return text.getvalue().encode()


def read_images(path: Path) -> Iterator[EvaluatedImage]:
    """In the file's order; raises DataError, one line that names the file and the line of it."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: larger than {MAX_BYTES} bytes")
        with path.open(encoding="utf-8", newline="") as stream:
            yield from _records(path, csv.DictReader(stream))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; evaluate again") from error


def _records(path: Path, reader: csv.DictReader[str]) -> Iterator[EvaluatedImage]:
    try:
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        for record in reader:
            yield _image(record)
    except (csv.Error, ValueError) as error:
        raise DataError(f"{path}: line {reader.line_num}: {first_line(error)}") from error


def _image(record: dict[str, str | None]) -> EvaluatedImage:
    text = {name: value or "" for name, value in record.items()}
    label = text["label"].strip().lower()
    if label not in _LABELS:
        raise ValueError(f"label {label[:40]!r} is neither good nor defective")
    return EvaluatedImage(
        path=text["path"],
        class_name=sys.intern(text["class"]),
        anomalous=_LABELS[label],
        kind=sys.intern(text["kind"]) or None,
        unit=sys.intern(text["unit"]),
        sha256=text["sha256"],
        margin=_number(text["margin"]),
        score=_number(text["score"]),
        z=_number(text["z"]),
        verdict=Verdict(text["verdict"]) if text["verdict"] else None,
    )


def _number(text: str) -> float | None:
    value = float(text) if text.strip() else math.nan
    return value if abs(value) < LARGEST else None


def _cells(image: EvaluatedImage) -> list[str]:
    numbers = ["" if value is None else repr(value) for value in (image.margin, image.score, image.z)]
    verdict = "" if image.verdict is None else image.verdict.value
    return [
        image.path,
        image.class_name,
        _STORED[image.anomalous],
        image.kind or "",
        image.unit,
        *numbers,
        verdict,
        image.sha256,
    ]
