"""Which images show the same part, file or volume: they are not independent, count once, and are never split apart."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from calibrate.datasets.sample import Entry, Sample
from calibrate.datasets.tables import read_table
from calibrate.errors import DataError

COLLECT_FILE = "collect.csv"


def unit_order(samples: Sequence[Sample]) -> list[str]:
    """Units in the order of their digests.

    That order is fixed and has nothing to do with when or where an image was taken, so a drift over the
    collection does not end up in one part only.
    """
    return sorted({s.unit for s in samples}, key=lambda u: hashlib.sha256(u.encode()).hexdigest())


def split_units(samples: Sequence[Sample], first: int) -> tuple[list[Sample], list[Sample]]:
    """(samples of `first` units, the rest), disjoint by unit."""
    chosen = set(unit_order(samples)[:first])
    return [s for s in samples if s.unit in chosen], [s for s in samples if s.unit not in chosen]


def unit_namer(root: Path, unit_from: str | None) -> Callable[[Entry], str]:
    """A function that names an entry's unit.

    None: what the layout or a collect.csv in `root` says, else the image itself; "folder": the folder it lies in;
    "collect": collect.csv, for every image; else a regular expression searched in the file's name, whose first
    group or whole match names the unit within the class. Raises DataError for an expression or a table that cannot
    be read; so does the function for an image that no unit is found for.
    """
    if unit_from is None:
        listed = _collected(root) if (root / COLLECT_FILE).is_file() else {}
        return lambda entry: entry.unit or listed.get(PurePosixPath(entry.file).name) or entry.file
    if unit_from == "folder":
        return lambda entry: PurePosixPath(entry.file).parent.as_posix()
    if unit_from == "collect":
        return _by_list(root)
    return _by_name(root, unit_from)


def _by_name(root: Path, unit_from: str) -> Callable[[Entry], str]:
    try:
        pattern = re.compile(unit_from)
    except re.error as error:
        raise DataError(f"--unit-from {unit_from!r} is not a regular expression: {error}") from error

    def name(entry: Entry) -> str:
        match = pattern.search(PurePosixPath(entry.file).name)
        found = None if match is None else match.group(1 if pattern.groups else 0)
        if not found:
            raise DataError(f"{root / entry.file}: the name does not match --unit-from {unit_from!r}")
        return f"{entry.class_name}/{found}"

    return name


def _by_list(root: Path) -> Callable[[Entry], str]:
    if not (root / COLLECT_FILE).is_file():
        raise DataError(f"{root / COLLECT_FILE}: no such file; --unit-from collect needs it")
    listed = _collected(root, needed=True)

    def name(entry: Entry) -> str:
        unit = listed.get(PurePosixPath(entry.file).name)
        if unit is None:
            raise DataError(f"{root / entry.file}: {COLLECT_FILE} names no unit for it")
        return unit

    return name


def _collected(root: Path, needed: bool = False) -> dict[str, str]:
    """File name -> unit. Names without folders, so that an image moved from good/ to bad/ keeps its unit.

    A table without the column `unit` names none; with `needed` it raises DataError.
    """
    units: dict[str, str] = {}
    for row in read_table(root, COLLECT_FILE, ("file", "unit") if needed else ("file",)):
        file, unit = PurePosixPath(row["file"]).name, row.get("unit")
        if not unit:
            continue
        named = f"{row.get('line') or 'all'}/{unit}"
        if units.setdefault(file, named) != named:
            raise DataError(f"{root / COLLECT_FILE}: {file} is of unit {units[file]} and of unit {named}")
    return units
