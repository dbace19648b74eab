"""The folder of a run: whole or not there, and never in place of something else."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from calibrate.errors import DataError

SCHEMA = "calibrate.evaluation/1"
MAIN = "evaluation.json"
OWN = frozenset({MAIN, "samples.csv", "metrics.csv", "summary.md", "worst", "report.html"})


def check_free(out: Path) -> None:
    """Raises DataError unless `out` is missing, empty or an earlier run with nothing else in it."""
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out}: is a file; name a folder for the run")
    held = sorted(p.name for p in out.iterdir())
    if not held:
        return
    if not _is_run(out / MAIN):
        raise DataError(f"{out}: not empty and no earlier run; name another folder")
    foreign = [name for name in held if name not in OWN]
    if foreign:
        raise DataError(f"{out}: {foreign[0]} is not part of the run and would be lost; move it or name another folder")


def replace_folder(out: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` (name with slashes -> bytes) beside `out`, then put the whole folder in its place.

    Raises OSError and then leaves what was there before.
    """
    out = out.resolve()
    check_free(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    # One temporary folder for new and old, so that no interruption leaves more than that one.
    work = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    new, old = work / "new", work / "old"
    try:
        for name, data in files.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        if out.exists():
            out.rename(old)
        try:
            new.rename(out)
        except BaseException:
            if old.exists():
                old.rename(out)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _is_run(path: Path) -> bool:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and data.get("schema") == SCHEMA
