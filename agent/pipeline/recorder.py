"""A judged frame -> images, rules, one transaction, and then the file's move. The only writer of results.

Order matters: images before the row that names them, the row before the file leaves the hot folder, and the
rules advance only when the transaction that holds their steps is committed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from agent.config.sections import FolderSource
from agent.errors import SourceError, StoreError
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.judge import Judged, Line
from agent.pipeline.messages import Messages
from agent.records import EventStep, FileState, Inspection
from agent.rules import LineRules, close_all, step
from agent.sources.base import Tally
from agent.sources.disposition import FailureNote, dispose
from agent.store.ledger import FileRow
from agent.store.results import Writer
from agent.web.state import LiveState
from fbclip.decision import Verdict

log = logging.getLogger(__name__)
STORE_RETRY_S = 2.0
Published = Callable[[Inspection], None]


class Recorder:
    """Owned by one thread."""

    def __init__(
        self,
        *,
        lines: Mapping[str, Line],
        tallies: Mapping[str, Tally],
        writer: Writer,
        evidence: EvidenceWriter,
        live: LiveState,
        messages: Messages,
        published: Published,
        ok_every: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`published` is told of each inspection after its commit."""
        self._lines = lines
        self._tallies = tallies
        self._writer = writer
        self._evidence = evidence
        self._live = live
        self._messages = messages
        self._published = published
        self._ok_every = ok_every
        self._monotonic = monotonic
        self._rules = {name: LineRules(name) for name in lines}
        self._oks = dict.fromkeys(lines, 0)
        self.problem: str | None = None

    def record(self, judged: Judged, stop: threading.Event) -> bool:
        """Write one inspection. A store that refuses is tried again until `stop`: then nothing was written, the
        frame counts as dropped, and a file stays claimed, to be judged at the next start."""
        line = self._lines[judged.inspection.line]
        inspection = self._with_images(line, judged)
        state, steps = step(
            self._rules[line.name], line.section.alert, inspection, self._monotonic(), lambda: str(uuid4())
        )
        if not self._commit(inspection, steps, stop):
            self._tallies[line.name].dropped("store_error")
            return False
        self._rules[line.name] = state
        tally = self._tallies[line.name]
        if inspection.decision.verdict is Verdict.REJECTED:
            tally.rejected()
        else:
            tally.inspected()
        self._show(line, judged, inspection)
        self._published(inspection)
        if inspection.file_id is not None and inspection.path is not None:
            move_judged(self._writer, line, inspection)
        return True

    def close_events(self, ts: datetime, reason: str) -> None:
        """End what is open, as at shutdown; raises StoreError."""
        for name, state in self._rules.items():
            self._rules[name], steps = close_all(state, ts, reason)
            drafts = [self._messages.of_end(step) for step in steps]
            if steps:
                self._writer.end_events(steps, [draft for draft in drafts if draft is not None])

    def _commit(self, inspection: Inspection, steps: Sequence[EventStep], stop: threading.Event) -> bool:
        while True:
            try:
                self._writer.record(inspection, steps, self._messages.of(inspection, steps))
            except StoreError as error:
                if self.problem is None:
                    log.error("the store refuses, trying again every %.0f s: %s", STORE_RETRY_S, error)
                self.problem = str(error)
                if stop.wait(STORE_RETRY_S):
                    return False
            else:
                if self.problem is not None:
                    log.info("the store accepts again")
                self.problem = None
                return True

    def _with_images(self, line: Line, judged: Judged) -> Inspection:
        """Every image that is not ok, and each n-th that is."""
        inspection = judged.inspection
        if inspection.decision.verdict is Verdict.OK:
            self._oks[line.name] += 1
            if not self._ok_every or (self._oks[line.name] - 1) % self._ok_every:
                return inspection
        margins = None if judged.prediction is None else judged.prediction.map
        limits = None if line.loaded is None else line.loaded.profile.map_limits
        refs = self._evidence.save(judged.frame, margins, judged.placement, limits, inspection.decision)
        return replace(inspection, image_ref=refs.image_ref, overlay_ref=refs.overlay_ref)

    def _show(self, line: Line, judged: Judged, inspection: Inspection) -> None:
        margins = None if judged.prediction is None else judged.prediction.map
        limits = None if line.loaded is None else line.loaded.profile.map_limits
        self._live.show(inspection, judged.frame.image, margins, judged.placement, limits)


def move_judged(writer: Writer, line: Line, inspection: Inspection) -> None:
    """The file of a committed inspection leaves the hot folder; what fails here is done again at start."""
    assert inspection.file_id is not None
    assert inspection.path is not None
    assert inspection.sha256 is not None
    note = None
    if inspection.decision.verdict is Verdict.REJECTED:
        note = FailureNote(
            reason=inspection.decision.reason or "rejected",
            verdict=inspection.decision.verdict.value,
            ts=inspection.ts,
            line=line.name,
            sha256=inspection.sha256,
            original_name=Path(inspection.path).name,
        )
    move_file(writer, line, inspection.file_id, Path(inspection.path), inspection.sha256, note)


def move_again(writer: Writer, rows: Sequence[FileRow], lines: Mapping[str, Line]) -> None:
    """Finish the moves of files that were judged by an earlier run or whose folder could not be written."""
    for row in rows:
        line = lines.get(row.line)
        if line is None or not isinstance(line.section.source, FolderSource):
            # The line is gone from the configuration; its files stay where they are until it is back.
            continue
        note = None
        if row.state is FileState.FAILED:
            verdict = Verdict.REJECTED.value
            reason, name = row.reason or verdict, Path(row.path).name
            note = FailureNote(reason, verdict, datetime.now(UTC), row.line, row.sha256, name)
        move_file(writer, line, row.id, Path(row.path), row.sha256, note)


def move_file(writer: Writer, line: Line, file_id: int, path: Path, sha256: str, note: FailureNote | None) -> None:
    """Move to `done`, or with a note to `failed`, and say so in the ledger; errors are logged and retried later."""
    source = line.section.source
    assert isinstance(source, FolderSource)
    try:
        dispose(path, source.done_dir if note is None else source.failed_dir, sha256, note)
        writer.finish_disposition(file_id)
    except (OSError, SourceError, StoreError) as error:
        # Names of files may name persons, so only the number is logged.
        text = error.strerror if isinstance(error, OSError) else str(error)
        log.warning("line %s: file %d is judged but could not be moved: %s", line.name, file_id, text)
