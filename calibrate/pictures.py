"""A folder of good pictures -> units. One picture is one unit unless `unit_from` says what they share."""

from __future__ import annotations

import re
from pathlib import Path

from calibrate.datasets.sample import Sample
from calibrate.errors import DataError
from fbclip.files import file_sha256

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
GOOD_FOLDERS = ("train/good", "good")


def find_good(data: Path) -> Path:
    """The folder of good pictures: `train/good`, `good`, or DATA itself."""
    if not data.is_dir():
        raise DataError(f"{data}: no such folder")
    for name in GOOD_FOLDERS:
        if (data / name).is_dir():
            return data / name
    return data


def read_good(data: Path, unit_from: str | None) -> list[Sample]:
    """Samples in name order, without copies of the same bytes.

    `unit_from` is a regular expression searched in the file name; its first group (or the whole match) names
    the unit. Raises DataError when nothing is found or a name does not match.
    """
    folder = find_good(data)
    paths = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"{folder}: no pictures ({', '.join(sorted(SUFFIXES))})")
    try:
        pattern = None if unit_from is None else re.compile(unit_from)
    except re.error as error:
        raise DataError(f"--unit-from {unit_from!r} is not a regular expression: {error}") from None
    samples, seen = [], set()
    for path in paths:
        digest = file_sha256(path)
        if digest in seen:
            continue
        seen.add(digest)
        unit = path.name
        if pattern is not None:
            match = pattern.search(path.name)
            if match is None:
                raise DataError(f"{path}: the name does not match --unit-from {unit_from!r}")
            unit = match.group(1) if pattern.groups else match.group(0)
        samples.append(Sample(path, unit, digest))
    return samples
