"""The files behind a verdict leave their hot folder: one, or all those of a series, each as what became of it."""

from __future__ import annotations

from dataclasses import replace

from agent.pipeline.judged import Judged
from agent.pipeline.lines import Line
from agent.pipeline.moves import move_judged
from agent.records import FileState
from agent.store.writer import Writer
from fbclip.decision import reject


def move_files(writer: Writer, line: Line, judged: Judged) -> None:
    """As `move_judged` for each file; one that was judged before has left the folder already."""
    inspection = judged.inspection
    if not inspection.files:
        move_judged(writer, line, inspection, judged.frame.path, judged)
        return
    for file, verdict in zip(judged.frame.series, inspection.files, strict=True):
        if verdict.was_judged:
            continue
        decision = inspection.decision
        if verdict.state is FileState.FAILED:
            decision = reject(verdict.reason or "rejected", decision.threshold)
        path = verdict.reference if inspection.private else file.path
        one = replace(inspection, file_id=file.id, sha256=file.sha256, path=path, decision=decision)
        # Only the picture of the slice that the verdict is about is there.
        move_judged(writer, line, one, file.path, judged if file.id == inspection.file_id else None)
