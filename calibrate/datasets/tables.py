"""Lists that lie beside images: bounded, UTF-8, and naming nothing outside the data folder."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from calibrate.errors import DataError

MAX_BYTES = 256 << 20


def read_text(root: Path, name: str) -> str:
    """Text of a file of `root`. Raises DataError when it leads out, is too large or not UTF-8, and OSError."""
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{path}: a link that leads out of the data folder; put the file itself there")
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise DataError(f"{path}: more than {MAX_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8; save it as UTF-8") from error


def read_table(root: Path, name: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file by column, blanks around names and values removed; a short row's rest is empty.

    Raises DataError when one of `columns` is missing or the file is no CSV.
    """
    lines = io.StringIO(read_text(root, name), newline="")
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    except csv.Error as error:
        raise DataError(f"{root / name}: no CSV: {error}") from error
    header = rows[0] if rows else []
    missing = [column for column in columns if column not in header]
    if missing:
        raise DataError(f"{root / name}: no column {', '.join(missing)}; need {', '.join(columns)}")
    filled = [row + [""] * (len(header) - len(row)) for row in rows[1:] if any(row)]
    return [dict(zip(header, row, strict=False)) for row in filled]


def inside(root: Path, named: str) -> str | None:
    """A path as a list names it -> posix path relative to `root`, or None when it leads out; nothing is opened."""
    if PurePosixPath(named).is_absolute():
        named = os.path.relpath(named, root.absolute())
    plain = os.path.normpath(named)
    return None if plain == ".." or plain.startswith("../") else plain
