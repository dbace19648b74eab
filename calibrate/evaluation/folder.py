"""The folder of a run: written whole or not at all, and never in place of something else."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from calibrate.errors import DataError
from calibrate.evaluation import document, evaluated_images
from calibrate.evaluation.document import SCHEMA, EvaluationDocument
from calibrate.evaluation.evaluated_images import EvaluatedImage, images_csv
from calibrate.evaluation.markdown import summary
from calibrate.evaluation.numbers import METRICS

METRICS_FILE, SUMMARY_FILE = "metrics.csv", "summary.md"
OWN = frozenset({document.FILE, evaluated_images.FILE, METRICS_FILE, SUMMARY_FILE, "worst", "report.html"})


def write_run(out: Path, run: EvaluationDocument, images: Iterable[EvaluatedImage], worst: Mapping[str, bytes]) -> None:
    """All files at once, in place of an earlier run; worst: name in the folder -> JPEG.

    Raises DataError for a folder that holds something else, OSError.
    """
    text = json.dumps(run.as_json(), indent=2, allow_nan=False, ensure_ascii=False)
    files = {
        document.FILE: (text + "\n").encode(),
        evaluated_images.FILE: images_csv(images),
        METRICS_FILE: _metrics_csv(run),
        SUMMARY_FILE: summary(run).encode(),
    }
    replace_folder(out, files | dict(worst))


def check_free(out: Path) -> None:
    """Raises DataError unless `out` is missing, empty or an earlier run with nothing else in it."""
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out}: is a file; name a folder for the run")
    held = sorted(p.name for p in out.iterdir())
    if not held:
        return
    if not _is_run(out / document.FILE):
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


def _metrics_csv(run: EvaluationDocument) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("class", *METRICS))
    for name, numbers in (*run.classes.items(), ("mean", run.mean)):
        writer.writerow([name, *("" if v is None else repr(v) for v in numbers.model_dump().values())])
    return text.getvalue().encode()
