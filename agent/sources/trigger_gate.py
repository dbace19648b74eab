"""Between a camera that runs all the time and the pipeline: lets through what was taken after a trigger.

Every trigger is answered once. The gate knows which are not yet; the recorder, and nobody else, answers.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from agent.config.line import LineSection
from agent.config.source import MOST_IMAGES, TriggeredSection
from agent.records import Frame, TriggerCounts, TriggeredPart
from agent.sources.base import Clock, SystemClock
from agent.sources.image_flow import ImageFlow
from agent.sources.interval_timer import IntervalTimer
from agent.sources.open_parts import OpenParts
from agent.sources.refusal import BUSY, LOST, TIMEOUT, Refusal
from agent.sources.sinks import Tally

NOT_TRIGGERED = "not_triggered"
AFTER_PAUSE = "after_pause"
# Triggers that were refused and wait to be told so. A healthy store keeps it empty.
MOST_REFUSED = 1024
_numbers = itertools.count(1)


class TriggerGate:
    """The sink of a triggered line. One part after the other, in the order of the triggers, takes its images.

    `notify` is called for each image let through, `knock` when there may be something to answer.
    """

    def __init__(
        self,
        section: LineSection,
        tally: Tally,
        numbers: itertools.count[int],
        notify: Callable[[], None] = lambda: None,
        knock: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        """`numbers`: of the line's frames. The gate is shut until `use`."""
        self.tally = tally
        self.section = section
        self._numbers = numbers
        self._notify = notify
        self._knock = knock
        self._clock = clock or SystemClock()
        self._changed = threading.Condition()
        self._open = OpenParts()
        self._frames: deque[Frame] = deque()
        self._refused: deque[Refusal] = deque()
        self._shut: str | None = "line_off"
        self._lost = False
        self._flow = ImageFlow()
        self._counts = TriggerCounts()
        self._interval = IntervalTimer()

    @property
    def counts(self) -> TriggerCounts:
        with self._changed:
            return self._counts

    @property
    def waiting(self) -> int:
        """Triggers without an answer."""
        counts = self.counts
        return counts.received - counts.answered - counts.lost

    def use(self, section: LineSection) -> None:
        """The line runs, with these settings from the next trigger on."""
        with self._changed:
            if self._shut is not None or section.source != self.section.source:
                self._interval.begin(self._clock.monotonic())
            self.section = section
            self._shut = None
        self._knock()

    def shut(self, reason: str) -> None:
        """No more triggers. Parts that still lack images are refused; what has them all is judged."""
        with self._changed:
            self._shut = reason
            for part in self._open.lacking():
                self._give_up(part, reason)
                self._refused.append(Refusal(part, reason))
        self._knock()

    def ask(self, context: Mapping[str, Any], frames: int | None = None) -> str | None:
        """One trigger, from any thread, at once; None if it was taken, else why it is refused.

        Refused or not, a result will tell, but for a "lost" one.
        """
        now, ts = self._clock.monotonic(), self._clock.now()
        with self._changed:
            reason = self._ask(context, frames, now, ts)
        self._knock()
        return reason

    def put(self, frame: Frame, stop: threading.Event) -> bool:
        if stop.is_set():
            return False
        with self._changed:
            self._lost = frame.image is None
            if frame.image is None:
                # That the camera is lost concerns the line; a part goes on waiting for its image.
                frames = [other for other in self._frames if other.part is not None]
                self.tally.grabbed(replaced=len(self._frames) - len(frames))
                self._frames = deque([*frames, frame])
            else:
                flows = self._flow.is_steady(frame.monotonic)
                taken = self._open.take(frame.monotonic) if flows else None
                if taken is None:
                    self.tally.skipped(NOT_TRIGGERED if flows else AFTER_PAUSE)
                    return True
                part, number = taken
                context = {**part.context, "frame": number, "frames": part.frames}
                self.tally.grabbed()
                self._frames.append(replace(frame, discrete=True, context=context, part=part))
            self._changed.notify_all()
        self._notify()
        return True

    def get(self, timeout: float) -> Frame | None:
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._frames), timeout):
                return None
            return self._frames.popleft()

    def discard(self, reason: str) -> int:
        with self._changed:
            count = len(self._frames)
            self._frames.clear()
            if count:
                self.tally.dropped(reason, count)
            return count

    def due(self) -> list[Refusal]:
        """Parts that get no verdict any more; whoever takes them answers them. Starts an interval when its time
        has come."""
        now, ts = self._clock.monotonic(), self._clock.now()
        with self._changed:
            self._look_at_interval(now, ts)
            late = self._open.late(now)
            for part in late:
                self._give_up(part, TIMEOUT)
            found = [*self._refused, *(Refusal(part, TIMEOUT) for part in late)]
            self._refused.clear()
            return found

    def give_up_all(self, reason: str) -> None:
        """Nothing will be judged any more."""
        with self._changed:
            self._shut = reason
            for part in self._open.all():
                self._give_up(part, reason)
                self._refused.append(Refusal(part, reason))

    def seconds_to_due(self, most: float) -> float:
        """Until `due` has something to say, at most `most`."""
        with self._changed:
            if self._refused:
                return 0.0
            times = [part.due for part in self._open.all()]
            if self._intervals_run():
                times.append(self._interval.next)
            return min(most, max(0.0, min(times, default=float("inf")) - self._clock.monotonic()))

    def is_open(self, part: TriggeredPart) -> bool:
        """Whether it has no answer yet."""
        with self._changed:
            return part in self._open

    def answered(self, part: TriggeredPart, reason: str | None) -> None:
        """Its result is stored."""
        with self._changed:
            self._open.remove(part)
            self._counts = replace(
                self._counts,
                answered=self._counts.answered + 1,
                busy=self._counts.busy + (reason == BUSY),
                timeout=self._counts.timeout + (reason == TIMEOUT),
            )

    def came_late(self) -> None:
        """An image was judged whose part has its answer."""
        with self._changed:
            self._counts = replace(self._counts, late=self._counts.late + 1)

    def unseen(self, refusal: Refusal) -> Frame:
        """In place of the image that the part never got: counted and numbered as a frame."""
        self.tally.grabbed()
        return refusal.frame(next(self._numbers))

    @property
    def _source(self) -> TriggeredSection:
        assert isinstance(self.section.source, TriggeredSection)
        return self.section.source

    def _ask(self, context: Mapping[str, Any], frames: int | None, now: float, ts: datetime) -> str | None:
        source = self._source
        self._counts = replace(self._counts, received=self._counts.received + 1)
        not_before, due = now + source.delay_s, now + source.answer_s
        part = TriggeredPart(
            next(_numbers), self.section.name, ts, now, not_before, due, frames or source.frames, context
        )
        reason = self._shut
        if reason is None and (len(self._open) >= source.queue or self._open.images + part.frames > MOST_IMAGES):
            reason = BUSY
        if reason is None:
            self._open.add(part)
        elif len(self._refused) < MOST_REFUSED:
            self._refused.append(Refusal(part, reason))
        else:
            self._counts = replace(self._counts, lost=self._counts.lost + 1)
            return LOST
        return reason

    def _give_up(self, part: TriggeredPart, reason: str) -> None:
        """It is answered without what is still to be judged: images of it that wait need not be."""
        self._open.remove(part)
        kept = [frame for frame in self._frames if frame.part is not part]
        if len(kept) < len(self._frames):
            self.tally.dropped(reason, len(self._frames) - len(kept))
            self._frames = deque(kept)

    def _intervals_run(self) -> bool:
        return self._source.trigger == "interval" and self._shut is None

    def _look_at_interval(self, now: float, ts: datetime) -> None:
        interval = self._source.interval_s
        if interval is None or not self._intervals_run() or not self._interval.has_come(now, interval):
            return
        if not self._open and not self._lost:
            self._ask({"trigger": "interval", "part": None}, None, now, ts)
