"""Judged files leave their hot folder; what fails here is logged and done again later."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from agent.config.line import FolderSource
from agent.errors import SourceError, StoreError
from agent.pipeline.lines import Line
from agent.privacy.references import References
from agent.records import FileState, Inspection
from agent.sources.disposition import FailureNote, FileGone, PrivateNote, dispose
from agent.sources.path_text import to_path
from agent.store.ledger import FileRow
from agent.store.writer import Writer
from fbclip.decision import Verdict

log = logging.getLogger(__name__)


def move_judged(writer: Writer, line: Line, inspection: Inspection, path: str | None = None) -> None:
    """The file of a committed inspection leaves the hot folder; an inspection without a file moves nothing.

    `path`: where the file lies, which the inspection of a private line does not say.
    """
    place = inspection.path if path is None else path
    if inspection.file_id is None or place is None or inspection.sha256 is None:
        return
    note = None
    if inspection.decision.verdict is Verdict.REJECTED:
        verdict = inspection.decision.verdict.value
        reason, ts = inspection.decision.reason or "rejected", inspection.ts
        reference = inspection.path if inspection.private else None
        note = _note(line, reason, verdict, ts, place, inspection.sha256, reference)
    _move(writer, line, inspection.file_id, to_path(place), inspection.sha256, note)


def move_again(
    writer: Writer, rows: Sequence[FileRow], lines: Mapping[str, Line], references: References | None = None
) -> None:
    """Finish the moves of files that were judged by an earlier run or whose folder could not be written.

    `references`: what stands for the files of private lines.
    """
    for row in rows:
        line = lines.get(row.line)
        if line is None:
            # The line is gone from the configuration; its files stay where they are until it is back.
            continue
        note = None
        if row.state is FileState.FAILED:
            verdict = Verdict.REJECTED.value
            reference = None
            if line.section.is_private and references is not None:
                reference = references.of(row.line, row.path, row.sha256)
            note = _note(line, row.reason or verdict, verdict, datetime.now(UTC), row.path, row.sha256, reference)
        _move(writer, line, row.id, to_path(row.path), row.sha256, note)


def _note(
    line: Line, reason: str, verdict: str, ts: datetime, path: str, sha256: str, reference: str | None
) -> FailureNote | PrivateNote:
    """Without a name where the line is private, even if nothing stands for it."""
    if line.section.is_private or reference is not None:
        return PrivateNote(reason, verdict, ts, line.name, reference or "unnamed")
    return FailureNote(reason, verdict, ts, line.name, sha256, Path(path).name)


def _move(
    writer: Writer, line: Line, file_id: int, path: Path, sha256: str, note: FailureNote | PrivateNote | None
) -> None:
    """To `done`, or with a note to `failed`, and finished in the ledger. A line without a folder moves nothing."""
    source = line.section.source
    if not isinstance(source, FolderSource):
        return
    try:
        dispose(path, source.done_dir if note is None else source.failed_dir, sha256, note)
        writer.finish_disposition(file_id)
    except FileGone:
        _finish_gone(writer, line, file_id)
    except (OSError, SourceError, StoreError) as error:
        # Names of files may name persons, so only the number is logged.
        text = error.strerror if isinstance(error, OSError) else str(error)
        log.warning("line %s: file %d is judged but could not be moved: %s", line.name, file_id, text)


def _finish_gone(writer: Writer, line: Line, file_id: int) -> None:
    """Somebody took the file away after its verdict, which stands; looking for it for ever would find nothing."""
    try:
        writer.finish_disposition(file_id, gone=True)
    except StoreError as error:
        log.warning("line %s: file %d is gone, but the store refuses to note it: %s", line.name, file_id, error)
    else:
        log.warning("line %s: file %d was taken away after its verdict, before it could be moved", line.name, file_id)
