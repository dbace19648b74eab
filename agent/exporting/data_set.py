"""Inspections with feedback -> a folder that `calibrate` reads as it stands: frames/ and feedback.csv.

Where the judged file itself is still there, it is what is copied; else the picture that was kept, a JPEG.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.config.line import LineSection
from agent.config.source import FolderSource
from agent.errors import AgentError
from agent.exporting.units import units_of
from agent.records import timestamp
from agent.sources.disposition import candidates, judged_sha256
from agent.sources.path_text import to_path
from agent.store.reader import InspectionRow, Reader
from agent.store.views import FeedbackRow, Views

LIST_FILE = "feedback.csv"
FOLDER = "frames"
COLUMNS = ("file", "unit", "line", "ts", "label", "note", "by", "inspection", "verdict", "z", "threshold", "source")
_LABELS = {"normal": "ok", "anomalous": "anomaly"}
_MOST_NAMES = 100


@dataclass(frozen=True)
class Exported:
    """What was written. `missing`: inspections whose picture is gone; `private`: line -> how many stayed here."""

    normal: int
    anomalous: int
    originals: int
    missing: tuple[int, ...]
    private: Mapping[str, int]

    @property
    def total(self) -> int:
        return self.normal + self.anomalous


@dataclass(frozen=True)
class _Judged:
    row: InspectionRow
    said: FeedbackRow


def export(
    reader: Reader, views: Views, sections: Mapping[str, LineSection], data_dir: Path, out: Path, line: str | None
) -> Exported:
    """Write the data set. Lines that are private, or not in the configuration, stay here.

    Raises AgentError for a private `line` and for a folder that has something in it, StoreError, OSError.
    """
    if line is not None and sections[line].is_private:
        raise AgentError(f"line {line}: privacy: phi, so its pictures do not leave this machine by export")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AgentError(f"--out {out}: is there already; name a new folder")
    found = list(_judged(reader, views, line))
    mine = [one for one in found if one.row.line in sections and not sections[one.row.line].is_private]
    private = [one.row.line for one in found if one.row.line in sections and sections[one.row.line].is_private]
    (out / FOLDER).mkdir(parents=True, exist_ok=True)
    rows = [one.row for one in mine]
    units = units_of(rows, sections, views.series({row.file_id for row in rows if row.file_id is not None}))
    counts, originals, missing = dict.fromkeys(_LABELS, 0), 0, []
    with (out / LIST_FILE).open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, COLUMNS)
        table.writeheader()
        for one in mine:
            source = _original(one.row, sections[one.row.line])
            picture = source or _kept(one.row, data_dir)
            if picture is None:
                missing.append(one.row.id)
                continue
            name = f"{one.row.line}-{one.row.id}{picture.suffix.lower()}"
            shutil.copyfile(picture, out / FOLDER / name)
            counts[one.said.label] += 1
            originals += source is not None
            table.writerow(_line_of_table(one, name, units[one.row.id], source is not None))
    per_line = {name: private.count(name) for name in dict.fromkeys(private)}
    return Exported(counts["normal"], counts["anomalous"], originals, tuple(missing), per_line)


def _judged(reader: Reader, views: Views, line: str | None) -> Iterator[_Judged]:
    """Oldest first; of several words on one inspection the last one counts."""
    ids = views.judged(line)
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        rows, said = reader.inspections(some), views.feedback(some)
        for number in some:
            if number in rows and number in said and said[number].label in _LABELS:
                yield _Judged(rows[number], said[number])


def _original(row: InspectionRow, section: LineSection) -> Path | None:
    """The judged file, where it lies now and still holds the same bytes."""
    source = section.source
    if row.path is None or row.sha256 is None or not isinstance(source, FolderSource):
        return None
    path = to_path(row.path)
    try:
        if path.is_file() and judged_sha256(path) == row.sha256:
            return path
        # Subfolders keep their structure where they are moved to.
        below = path.parent.relative_to(source.path) if path.parent.is_relative_to(source.path) else Path()
        for folder in (source.done_dir / below, source.failed_dir / below):
            for target in _bounded(candidates(path.name, folder)):
                if not target.is_file():
                    break
                if judged_sha256(target) == row.sha256:
                    return target
    except OSError:
        return None
    return None


def _bounded(paths: Iterator[Path]) -> Iterator[Path]:
    return (path for path, _ in zip(paths, range(_MOST_NAMES), strict=False))


def _kept(row: InspectionRow, data_dir: Path) -> Path | None:
    path = None if row.image_ref is None else data_dir / row.image_ref
    return path if path is not None and path.is_file() else None


def _plain(text: str | None) -> str:
    """As a spreadsheet shows it: what begins like a formula is computed by some of them."""
    return f"'{text}" if text and text[0] in "=+-@" else text or ""


def _line_of_table(one: _Judged, name: str, unit: str, original: bool) -> dict[str, object]:
    row, said = one.row, one.said
    return {
        "file": name,
        "unit": unit,
        "line": row.line,
        "ts": timestamp(row.ts),
        "label": _LABELS[said.label],
        "note": _plain(said.note),
        "by": _plain(said.by),
        "inspection": row.id,
        "verdict": row.verdict.value,
        "z": "" if row.z is None else row.z,
        "threshold": "" if row.threshold is None else row.threshold,
        "source": "file" if original else "kept picture",
    }
