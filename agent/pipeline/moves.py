"""Judged files leave their hot folder; what fails here is logged and done again later."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from agent.config.source import FolderSource
from agent.errors import SourceError, StoreError
from agent.pipeline.judged import Judged
from agent.pipeline.lines import Line
from agent.pipeline.sidecar import write_sidecar
from agent.privacy.references import References
from agent.records import FileState, Inspection
from agent.sources.disposition import FailureNote, FileGone, PrivateNote, dispose, folder_of
from agent.sources.path_text import to_path
from agent.store.ledger import FileRow, Ledger
from agent.store.writer import Writer
from fbclip.decision import Verdict

log = logging.getLogger(__name__)


def move_judged(
    writer: Writer, line: Line, inspection: Inspection, path: str | None = None, judged: Judged | None = None
) -> None:
    """The file of a committed inspection leaves the hot folder; an inspection without a file moves nothing.

    `path`: where the file lies, which the inspection of a private line does not say. `judged`: for its sidecar.
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
    move = FileMove(inspection.file_id, to_path(place), inspection.sha256, note, inspection, judged)
    _move(writer, line, move)


def move_again(
    writer: Writer,
    rows: Sequence[FileRow],
    lines: Mapping[str, Line],
    references: References | None = None,
    result_of: Callable[[int], Inspection | None] = lambda _: None,
) -> Counter[str]:
    """Finish the moves of files that were judged by an earlier run or whose folder could not be written; returns how
    many of each line could not be moved now either.

    `references`: what stands for the files of private lines. `result_of`: the inspection of a file, by its id.
    """
    stuck = Counter[str]()
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
        source = line.section.source
        result = result_of(row.id) if isinstance(source, FolderSource) and source.sidecar else None
        if result is not None and line.section.is_private:
            result = replace(result, private=True)
        if not _move(writer, line, FileMove(row.id, to_path(row.path), row.sha256, note, result)):
            stuck[row.line] += 1
    return stuck


def let_go(ledger: Ledger, lines: Mapping[str, Line]) -> int:
    """Files that wait for a verdict or were left in their folder, and that somebody took away: nothing is waited for
    any more. Returns how many. A folder that is not there has lost no file."""
    count = 0
    for row in ledger.staying():
        line = lines.get(row.line)
        source = None if line is None else line.section.source
        if not isinstance(source, FolderSource) or not source.path.is_dir():
            continue
        path = to_path(row.path)
        if path.is_relative_to(source.path) and not path.exists():
            ledger.forget(row.id)
            count += 1
    return count


@dataclass(frozen=True, eq=False)
class FileMove:
    """A judged file: to `done`, or with a note to `failed`; with a result it may have a sidecar."""

    file_id: int
    path: Path
    sha256: str
    note: FailureNote | PrivateNote | None
    result: Inspection | None = None
    judged: Judged | None = None


def _note(
    line: Line, reason: str, verdict: str, ts: datetime, path: str, sha256: str, reference: str | None
) -> FailureNote | PrivateNote:
    """Without a name where the line is private, even if nothing stands for it."""
    if line.section.is_private or reference is not None:
        return PrivateNote(reason, verdict, ts, line.name, reference or "unnamed")
    return FailureNote(reason, verdict, ts, line.name, sha256, Path(path).name)


def _move(writer: Writer, line: Line, move: FileMove) -> bool:
    """Done and finished in the ledger; false where it failed, to be done again later. A line without a folder moves
    nothing."""
    source = line.section.source
    if not isinstance(source, FolderSource):
        return True
    folder = folder_of(move.path, source.path, source.done_dir if move.note is None else source.failed_dir)
    try:
        if source.after == "leave":
            target: Path | None = folder / move.path.name
        else:
            target = dispose(move.path, folder, move.sha256, move.note, keep=source.after == "copy")
        if source.sidecar and move.result is not None and target is not None:
            write_sidecar(writer.agent, target, move.result, move.judged)
        writer.finish_disposition(move.file_id, left=source.after != "move")
    except FileGone:
        _finish_gone(writer, line, move.file_id)
    except (OSError, SourceError, StoreError) as error:
        # Names of files may name persons, so only the number is logged.
        text = error.strerror if isinstance(error, OSError) else str(error)
        log.warning("line %s: file %d is judged but could not be moved: %s", line.name, move.file_id, text)
        return False
    return True


def _finish_gone(writer: Writer, line: Line, file_id: int) -> None:
    """Somebody took the file away after its verdict, which stands; looking for it for ever would find nothing."""
    try:
        writer.finish_disposition(file_id, gone=True)
    except StoreError as error:
        log.warning("line %s: file %d is gone, but the store refuses to note it: %s", line.name, file_id, error)
    else:
        log.warning("line %s: file %d was taken away after its verdict, before it could be moved", line.name, file_id)
