"""A run read back from its folder: the numbers, and the margin of every image."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrate.errors import DataError
from calibrate.evaluation.folder import MAIN, SCHEMA
from calibrate.evaluation.numbers import NAMES

Key = tuple[str, str, bool]


@dataclass(frozen=True)
class StoredImage:
    """key: class, sha256, whether anomalous; margin: None for an image that could not be judged."""

    key: Key
    unit: str
    margin: float | None


@dataclass(frozen=True)
class StoredRun:
    """name: of its folder; numbers: class -> the seven numbers; images in the order of their keys."""

    name: str
    adapter: str
    definition: str
    numbers: dict[str, dict[str, float | None]]
    mean: dict[str, float | None]
    images: tuple[StoredImage, ...]

    def margins(self) -> NDArray[np.float64]:
        """One an image; NaN where there is none."""
        return np.array([math.nan if p.margin is None else p.margin for p in self.images])


def read_stored(folder: Path) -> StoredRun:
    """Raises DataError, one line that names the file."""
    path = folder / MAIN
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; `calibrate evaluate` makes it") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise DataError(f"{path}: schema: not {SCHEMA}; `calibrate evaluate` makes it")
    try:
        return StoredRun(
            name=folder.resolve().name,
            adapter=str(data["model"]["adapter"]),
            definition=str(data["definition"]),
            numbers={str(name): _numbers(values) for name, values in data["classes"].items()},
            mean=_numbers(data["mean"]),
            images=_images(folder / "samples.csv"),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path}: damaged near {error}; evaluate again") from error


def _numbers(values: Any) -> dict[str, float | None]:
    return {name: None if values[name] is None else float(values[name]) for name in NAMES}


def _images(path: Path) -> tuple[StoredImage, ...]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            found = [_image(record) for record in csv.DictReader(stream)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}; evaluate again") from error
    return tuple(sorted(found, key=lambda p: (p.key, p.unit)))


def _image(record: dict[str, str]) -> StoredImage:
    if record["label"] not in {"good", "defective"}:
        raise ValueError(f"label {record['label']!r} is neither good nor defective")
    margin = float(record["margin"]) if record["margin"] else None
    return StoredImage((record["class"], record["sha256"], record["label"] == "defective"), record["unit"], margin)
