"""A judged frame -> images, rules, one transaction, and then the file's move. The only writer of results.

Order matters: images before the row that names them, the row before the file leaves the hot folder, and the
rules advance only when the transaction that holds their steps is committed.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol
from uuid import uuid4

from structlog.contextvars import bound_contextvars

from agent.errors import ClaimLost, StoreError
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.judged import Judged
from agent.pipeline.lines import Line
from agent.pipeline.messages import Messages
from agent.pipeline.part_desk import PartDesk
from agent.pipeline.part_verdict import part_verdict
from agent.pipeline.series_moves import move_files
from agent.records import EventStep, Inspection, ResultChoice, TriggeredPart
from agent.rules import LineRules, close_all, step
from agent.sources.sinks import Tally
from agent.sources.trigger_gates import TriggerGates
from agent.store.outbox import Draft
from agent.store.writer import Writer
from fbclip.decision import Verdict

log = logging.getLogger(__name__)
STORE_RETRY_S = 2.0
# Messages without an inspection that wait for the store.
MOST_SAID = 2048


class InspectionObserver(Protocol):
    """Whoever wants to hear of each inspection once it is committed."""

    def inspected(self, judged: Judged) -> None:
        """Called on the recorder's thread: be quick. The arrays are shared and must not be written to."""


class InspectionWitness(Protocol):
    """Whoever wants each stored inspection, each image of a part among them, told of or not."""

    def recorded(self, judged: Judged) -> None:
        """As `InspectionObserver.inspected`."""


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
        witnesses: Sequence[InspectionWitness] = (),
        desk: PartDesk | None = None,
        wake: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`observers` hear of an inspection in this order. Each `ok_every`-th image that is ok is kept, with 0 none.

        `desk`: of the triggered lines, if there are any. `wake`: there are messages without an inspection.
        """
        self._lines = lines
        self._tallies = tallies
        self._writer = writer
        self._evidence = evidence
        self._messages = messages
        self._observers = tuple(observers)
        self._witnesses = tuple(witnesses)
        self._ok_every = ok_every
        self._desk = desk or PartDesk("", lines, TriggerGates())
        self._wake = wake
        self._monotonic = monotonic
        self._said: deque[Draft] = deque()
        self._last_verdicts: dict[str, Verdict] = {}
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

    def say(self, draft: Draft) -> None:
        """A message that no inspection causes; from any thread, at once. It is stored in the recorder's next turn."""
        if len(self._said) >= MOST_SAID:
            log.error("the store does not keep up: a message on %s is lost", draft.topic)
            return
        self._said.append(draft)

    def turn(self, stop: threading.Event) -> None:
        """What is due without a frame: ends of events, parts that get no verdict, messages that were said."""
        self.end_events_of_lines(datetime.now(UTC))
        for part, unseen in self._desk.take_due():
            self._record_image(part, unseen, stop, refused=unseen.frame.reason)
        self._post_what_was_said()

    def seconds_to_due(self, most: float) -> float:
        """Until the next turn has something to do that is known now, at most `most`."""
        return self._desk.seconds_to_due(most)

    def give_up(self, reason: str, stop: threading.Event) -> None:
        """Nothing more will be judged: every part without an answer gets one."""
        self._desk.give_up_all(reason)
        self.turn(stop)

    def record(self, judged: Judged, stop: threading.Event) -> bool:
        """Write one inspection. A store that refuses is tried again until `stop`: then nothing was written, the
        frame counts as dropped, and a file stays claimed, to be judged at the next start."""
        with bound_contextvars(inspection=judged.frame.id):
            part = judged.frame.part
            if part is not None:
                return self._record_image(part, judged, stop)
            line = self._lines[judged.inspection.line]
            judged = self._with_images(line, judged)
            if self._store(line, judged, judged, stop) is None:
                return False
            move_files(self._writer, line, judged)
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

    def _record_image(
        self, part: TriggeredPart, judged: Judged, stop: threading.Event, refused: str | None = None
    ) -> bool:
        """One image of a part, or with `refused` what stands for it; the last one brings the part's answer.

        An image that is judged after the answer has a row, and nobody hears of it.
        """
        desk, line = self._desk, self._desk.line(part.line)
        judged = self._with_images(line, judged)
        if refused is None and not desk.is_open(part):
            if self._store(line, judged, None, stop) is None:
                return False
            desk.came_late(part)
            return True
        so_far = desk.with_image(part, judged, unseen=refused is not None)
        last = refused is not None or so_far.judged == part.frames
        told = part_verdict(so_far, part) if last else None
        row = self._store(line, judged, told, stop, so_far.worst_id)
        if row is None:
            return False
        if last:
            desk.answered(part, refused)
        else:
            desk.keep(part, so_far if so_far.worst_id is not None else replace(so_far, worst_id=row))
        return True

    def _store(
        self, line: Line, judged: Judged, told: Judged | None, stop: threading.Event, cause: int | None = None
    ) -> int | None:
        """One row; returns its id, None where `stop` came first. `told`: what events, messages and observers hear of.

        `cause`: the row that it tells of, this one unless told.
        """
        tally = self._tallies[line.name]
        state = self._rules.get(line.name) or LineRules(line.name)
        steps: Sequence[EventStep] = ()
        drafts: Sequence[Draft] = ()
        if told is not None:
            now = self._monotonic()
            state, steps = step(state, line.section.alert, told.inspection, now, lambda: str(uuid4()))
            drafts = self._messages.of(told.inspection, steps, self._wants_result(line, told.inspection))
        try:
            row = self._commit(judged.inspection, steps, drafts, cause, stop)
        except ClaimLost as error:
            log.warning("%s; it is judged there", error)
            tally.dropped("taken_over")
            return None
        if row is None:
            tally.dropped("store_error")
            return None
        self._rules[line.name] = state
        if judged.inspection.decision.verdict is Verdict.REJECTED:
            tally.rejected()
        else:
            tally.inspected()
        for witness in self._witnesses:
            witness.recorded(judged)
        if told is not None:
            self._last_verdicts[line.name] = told.inspection.decision.verdict
            stored = replace(told, row=row if cause is None else cause)
            for observer in self._observers:
                observer.inspected(stored)
        return row

    def _wants_result(self, line: Line, inspection: Inspection) -> bool:
        choice = line.section.results
        changed = inspection.decision.verdict is not self._last_verdicts.get(line.name)
        every = inspection.discrete or choice is ResultChoice.EVERY
        return every or (choice is ResultChoice.CHANGES and changed)

    def _post_what_was_said(self) -> None:
        drafts = list(self._said)
        if not drafts:
            return
        try:
            self._writer.post(drafts)
        except StoreError as error:
            log.warning("%d messages cannot be stored yet: %s", len(drafts), error)
            return
        for _ in drafts:
            self._said.popleft()
        self._wake()

    def _commit(
        self,
        inspection: Inspection,
        steps: Sequence[EventStep],
        drafts: Sequence[Draft],
        cause: int | None,
        stop: threading.Event,
    ) -> int | None:
        while True:
            try:
                row = self._writer.record(inspection, steps, drafts, cause)
            except StoreError as error:
                if self.problem is None:
                    log.error("the store refuses, trying again every %.0f s: %s", STORE_RETRY_S, error)
                self.problem = str(error)
                if stop.wait(STORE_RETRY_S):
                    return None
            else:
                if self.problem is not None:
                    log.info("the store accepts again")
                self.problem = None
                return row

    def _with_images(self, line: Line, judged: Judged) -> Judged:
        """Every image that is not ok, each n-th that is, and what a shadow profile sees otherwise is kept and named."""
        decision = judged.inspection.decision
        if decision.verdict is Verdict.OK and (judged.shadow is None or judged.shadow.verdict is Verdict.OK):
            self._oks[line.name] = self._oks.get(line.name, 0) + 1
            if not self._ok_every or (self._oks[line.name] - 1) % self._ok_every:
                return judged
        refs = self._evidence.save(judged.frame, judged.margins, judged.placement, judged.limits, decision)
        inspection = replace(judged.inspection, image_ref=refs.image_ref, overlay_ref=refs.overlay_ref)
        return replace(judged, inspection=inspection)
