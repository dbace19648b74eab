"""A judged frame -> images, rules, one transaction, and then the file's move. The only writer of results.

Order matters: images before the row that names them, the row before the file leaves the hot folder, and the
rules advance only when the transaction that holds their steps is committed.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol
from uuid import uuid4

from agent.errors import StoreError
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.judge import Judged
from agent.pipeline.lines import Line
from agent.pipeline.messages import Messages
from agent.pipeline.moves import move_judged
from agent.records import EventStep, Inspection
from agent.rules import LineRules, close_all, step
from agent.sources.sinks import Tally
from agent.store.outbox import Draft
from agent.store.writer import Writer
from fbclip.decision import Verdict

log = logging.getLogger(__name__)
STORE_RETRY_S = 2.0


class InspectionObserver(Protocol):
    """Whoever wants to hear of each inspection once it is committed."""

    def inspected(self, judged: Judged) -> None:
        """Called on the recorder's thread: be quick. The arrays are shared and must not be written to."""


class Recorder:
    """Owned by one thread."""

    def __init__(
        self,
        *,
        lines: Mapping[str, Line],
        tallies: Mapping[str, Tally],
        writer: Writer,
        evidence: EvidenceWriter,
        messages: Messages,
        observers: Sequence[InspectionObserver],
        ok_every: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`observers` hear of an inspection in this order. Each `ok_every`-th image that is ok is kept, with 0 none."""
        self._lines = lines
        self._tallies = tallies
        self._writer = writer
        self._evidence = evidence
        self._messages = messages
        self._observers = tuple(observers)
        self._ok_every = ok_every
        self._monotonic = monotonic
        self._rules: dict[str, LineRules] = {}
        self._oks: dict[str, int] = {}
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.problem: str | None = None

    def line_ended(self, line: str) -> None:
        """It was switched off or taken away; from any thread. Its open events end in the recorder's next turn."""
        self._ended.put(line)

    def end_events_of_lines(self, ts: datetime) -> None:
        """Of those that ended since the last call. A store that refuses is asked again the next time."""
        while not self._ended.empty():
            line = self._ended.get()
            rules = self._rules.get(line)
            if rules is None:
                continue
            try:
                self._close(rules, ts, "line_off")
            except StoreError as error:
                log.warning("line %s: its events cannot be ended yet: %s", line, error)
                self._ended.put(line)
                return

    def record(self, judged: Judged, stop: threading.Event) -> bool:
        """Write one inspection. A store that refuses is tried again until `stop`: then nothing was written, the
        frame counts as dropped, and a file stays claimed, to be judged at the next start."""
        line = self._lines[judged.inspection.line]
        tally = self._tallies[line.name]
        judged = self._with_images(line, judged)
        inspection = judged.inspection
        rules = self._rules.get(line.name) or LineRules(line.name)
        state, steps = step(rules, line.section.alert, inspection, self._monotonic(), lambda: str(uuid4()))
        if not self._commit(inspection, steps, self._messages.of(inspection, steps), stop):
            tally.dropped("store_error")
            return False
        self._rules[line.name] = state
        if inspection.decision.verdict is Verdict.REJECTED:
            tally.rejected()
        else:
            tally.inspected()
        for observer in self._observers:
            observer.inspected(judged)
        move_judged(self._writer, line, inspection)
        return True

    def close_events(self, ts: datetime, reason: str) -> None:
        """End what is open, as at shutdown; raises StoreError."""
        for state in list(self._rules.values()):
            self._close(state, ts, reason)

    def _close(self, state: LineRules, ts: datetime, reason: str) -> None:
        closed, steps = close_all(state, ts, reason)
        drafts = [self._messages.of_end(step) for step in steps]
        if steps:
            self._writer.end_events(steps, [draft for draft in drafts if draft is not None])
        self._rules[state.line] = closed

    def _commit(
        self, inspection: Inspection, steps: Sequence[EventStep], drafts: Sequence[Draft], stop: threading.Event
    ) -> bool:
        while True:
            try:
                self._writer.record(inspection, steps, drafts)
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

    def _with_images(self, line: Line, judged: Judged) -> Judged:
        """Every image that is not ok, and each n-th that is, is kept and named in its inspection."""
        decision = judged.inspection.decision
        if decision.verdict is Verdict.OK:
            self._oks[line.name] = self._oks.get(line.name, 0) + 1
            if not self._ok_every or (self._oks[line.name] - 1) % self._ok_every:
                return judged
        refs = self._evidence.save(judged.frame, judged.margins, judged.placement, judged.limits, decision)
        inspection = replace(judged.inspection, image_ref=refs.image_ref, overlay_ref=refs.overlay_ref)
        return replace(judged, inspection=inspection)
