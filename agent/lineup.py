"""The lines of the configuration as they are now: running, switched off, or unavailable and tried again.

One thread changes them, any thread may look.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace

from agent.config.line import LineSection
from agent.config.source import FolderSource
from agent.line_states import LineHealth, LinePlan, LineState
from agent.pipeline.detector_loading import equip
from agent.pipeline.intake import Intake
from agent.pipeline.judge import Judge
from agent.pipeline.line_loading import load_line
from agent.pipeline.lines import Line, LiveLines
from agent.records import LineMode
from agent.sources.base import Sink
from agent.sources.factory import build_sink, build_source
from agent.sources.folder_lock import FolderLocks
from agent.sources.ledger import FileLedger
from agent.sources.mounts import MountMemory
from agent.sources.series_ledger import SeriesMemory
from agent.sources.sinks import Tally
from agent.sources.supervisor import SourceSupervisor
from agent.sources.trigger_gates import TriggerGates
from fbclip.detector import Detector
from fbclip.errors import InspectError

log = logging.getLogger(__name__)
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 300.0


@dataclass(frozen=True, eq=False)
class _Place:
    """A line as it is. Without a `supervisor` it does not run: it is switched off, or `problem` says why."""

    plan: LinePlan
    tally: Tally
    numbers: itertools.count[int]
    supervisor: SourceSupervisor | None = None
    sink: Sink | None = None
    problem: str | None = None
    pause: float = FIRST_RETRY_S
    retry_at: float = 0.0


@dataclass(eq=False)
class Lineup:
    """`lines`, `tallies` and `modes` are shared with judge and recorder, who look a line up for each frame.

    `line_ended` hears of each line that was switched off or taken away. `share`: the ledger of a folder that other
    agents empty too.
    """

    detector: Detector
    judge: Judge
    intake: Intake
    ledger: FileLedger
    lines: LiveLines
    tallies: MutableMapping[str, Tally]
    modes: MutableMapping[str, LineMode]
    line_ended: Callable[[str], None] = lambda _: None
    gates: TriggerGates = field(default_factory=TriggerGates)
    series: SeriesMemory | None = None
    mounts: MountMemory | None = None
    share: Callable[[FolderSource], FileLedger] | None = None
    _numbers: dict[str, itertools.count[int]] = field(default_factory=dict)
    _places: dict[str, _Place] = field(default_factory=dict)
    _locks: FolderLocks = field(default_factory=FolderLocks)
    _running: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set_up(self, plans: Sequence[LinePlan], now: float) -> None:
        """The lines of the start, before anything runs; one that cannot run is unavailable. `now`: monotonic s."""
        for plan in plans:
            self._places[plan.name] = self._try(self._new_place(plan), now)
        self._make_gates()

    def start(self) -> None:
        """Start every source."""
        with self._lock:
            self._running = True
            self._set_gates()
            for supervisor in self.supervisors:
                self.intake.add(supervisor.sink)
                supervisor.start()

    def stop(self) -> None:
        """No more frames; returns at once, and nothing is started any more."""
        with self._lock:
            self._running = False
            for supervisor in self.supervisors:
                supervisor.stop()
            self.gates.shut("shutdown")

    @property
    def supervisors(self) -> tuple[SourceSupervisor, ...]:
        """Those of the lines that run."""
        places = self._places.values()
        return tuple(place.supervisor for place in places if place.supervisor is not None)

    @property
    def plans(self) -> Mapping[str, LinePlan]:
        return {name: place.plan for name, place in self._places.items()}

    def healths(self) -> tuple[LineHealth, ...]:
        """In the order of the configuration."""
        return tuple(_health(place, self.gates, self.lines.get(place.plan.name)) for place in self._places.values())

    def retry(self, now: float) -> None:
        """Try the unavailable lines whose time has come at `now` (monotonic s)."""
        for name, place in self._places.items():
            if place.problem is not None and now >= place.retry_at:
                tried = self._try(place, now)
                if tried.problem is None:
                    log.info("line %s is available again", name)
                self._put({**self._places, name: tried})

    def apply(self, plans: Sequence[LinePlan], now: float) -> list[str]:
        """Change to `plans` what differs, all of it or nothing; returns what was changed, one text each.

        A source is started anew only where it differs itself. A line that was unavailable and still is stays so.
        Raises InspectError naming the line that could not run as planned.
        """
        detector, loaded = self.detector, {}
        places: dict[str, _Place] = {}
        for plan in plans:
            before = self._places.get(plan.name)
            place = before or self._new_place(plan)
            places[plan.name] = replace(place, plan=plan, problem=place.problem if plan.enabled else None)
            if not plan.enabled:
                continue
            try:
                detector = equip(detector, plan.section)
                loaded[plan.name] = load_line(detector, plan.section, plan.threshold)
            except (InspectError, OSError) as error:
                if before is None or before.problem is None or before.plan != plan:
                    raise
                places[plan.name] = replace(place, problem=_text(plan.name, error), retry_at=now + place.pause)
        # From here on nothing can fail.
        changes = _changes(self._places, places, loaded, self.lines)
        self._use(detector)
        for name, place in places.items():
            self.modes[name] = place.plan.section.mode
            if name in loaded:
                self.lines.put(loaded[name])
                places[name] = replace(place, problem=None, pause=FIRST_RETRY_S)
            places[name] = self._with_source(self._places.get(name), places[name])
        for name, place in self._places.items():
            if name not in places and place.supervisor is not None:
                place.supervisor.stop()
        was_on = {name for name, place in self._places.items() if place.plan.enabled}
        self._put(places)
        for name in sorted(was_on - {name for name, place in places.items() if place.plan.enabled}):
            self.line_ended(name)
        return changes

    def _try(self, place: _Place, now: float) -> _Place:
        """The place with its line loaded and its source made, or with the reason and the time of the next try."""
        plan = place.plan
        self.modes[plan.name] = plan.section.mode
        if not plan.enabled:
            return place
        try:
            detector = equip(self.detector, plan.section)
            line = load_line(detector, plan.section, plan.threshold)
        except (InspectError, OSError) as error:
            text = _text(plan.name, error)
            if text != place.problem:
                log.error("%s; the line is unavailable", text)
            pause = min(2 * place.pause, LONGEST_RETRY_S)
            return replace(place, problem=text, retry_at=now + place.pause, pause=pause)
        self._use(detector)
        self.lines.put(line)
        return self._with_source(None, replace(place, problem=None, pause=FIRST_RETRY_S))

    def _use(self, detector: Detector) -> None:
        """Before any line that needs it: the detector only ever gets more."""
        if detector is not self.detector:
            self.detector = detector
            self.judge.use(detector)

    def _with_source(self, before: _Place | None, place: _Place) -> _Place:
        """The running source stays where it is the same; else it ends, and another is made where one should run."""
        running = None if before is None else before.supervisor
        wanted = place.plan.enabled and place.problem is None
        if before is not None and running is not None:
            if wanted and before.plan.section.source == place.plan.section.source:
                return place
            running.stop()
        if not wanted:
            return replace(place, supervisor=None)
        section = place.plan.section
        sink = place.sink
        if section.is_triggered:
            sink = self.gates.of(section, place.tally, place.numbers)
        elif sink is None or before is None or _kind(before.plan.section) != _kind(section):
            sink = build_sink(section, place.tally, self.intake.notify)
        supervisor = SourceSupervisor(
            section.name,
            lambda feed: build_source(
                section,
                feed,
                self._ledger_of(section),
                lambda: self.lines[section.name].window,
                self._locks,
                self.series,
                self.mounts,
            ),
            sink,
            place.numbers,
        )
        return replace(place, supervisor=supervisor, sink=sink)

    def _ledger_of(self, section: LineSection) -> FileLedger:
        source = section.source
        if self.share is not None and isinstance(source, FolderSource) and source.shared:
            return self.share(source)
        return self.ledger

    def _put(self, places: dict[str, _Place]) -> None:
        """The new state; what is new in it is started, unless the agent is stopping."""
        old = self.supervisors
        with self._lock:
            self._places = places
            if self._running:
                self._make_gates()
                self._set_gates()
            for supervisor in self.supervisors:
                if self._running and supervisor not in old:
                    # A sink is never taken away: what a stopped source left in it is still judged.
                    self.intake.add(supervisor.sink)
                    supervisor.start()

    def _new_place(self, plan: LinePlan) -> _Place:
        # One that was taken away and is back goes on counting: a number stands for one frame in all of a run.
        tally = self.tallies.setdefault(plan.name, Tally())
        return _Place(plan, tally, self._numbers.setdefault(plan.name, itertools.count(1)))

    def _make_gates(self) -> None:
        """Lines that cannot run have theirs, too: their triggers are answered."""
        for place in self._places.values():
            if place.plan.section.is_triggered:
                self.gates.of(place.plan.section, place.tally, place.numbers)

    def _set_gates(self) -> None:
        """Open where the source runs, shut elsewhere."""
        triggered = {name: place for name, place in self._places.items() if place.plan.section.is_triggered}
        for name, place in triggered.items():
            gate = self.gates.all()[name]
            if place.supervisor is not None:
                gate.use(place.plan.section)
            else:
                gate.shut("line_unavailable" if place.plan.enabled else "line_off")
        self.gates.shut("line_off", but=triggered)


def _kind(section: LineSection) -> tuple[bool, bool]:
    return section.is_live, section.is_triggered


def _text(name: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if text.startswith(f"line {name}: ") else f"line {name}: {text}"


def _health(place: _Place, gates: TriggerGates, line: Line | None) -> LineHealth:
    section, supervisor = place.plan.section, place.supervisor
    problem, health, state = place.problem, place.problem or "switched off", LineState.DISABLED
    if supervisor is not None:
        problem, health = supervisor.problem, supervisor.health
        state = LineState.RUNNING if problem is None else LineState.FAILING
        if supervisor.unavailable:
            state = LineState.UNAVAILABLE
    elif problem is not None:
        state = LineState.UNAVAILABLE
    gate = gates.get(section.name) if section.is_triggered else None
    return LineHealth(
        section.name,
        section.mode,
        health,
        problem,
        place.tally.snapshot(),
        state,
        section.is_live,
        None if line is None else line.guarantee,
        None if gate is None else gate.counts,
    )


def _changes(
    old: Mapping[str, _Place], new: Mapping[str, _Place], loaded: Mapping[str, Line], lines: LiveLines
) -> list[str]:
    """What differs, in words for the answer and the audit."""
    out = [f"line {name}: removed" for name in old if name not in new]
    for name, place in new.items():
        before = old.get(name)
        if before is None:
            out.append(f"line {name}: added")
            continue
        was, now = before.plan.section.model_dump(), place.plan.section.model_dump()
        parts = [key for key in now if key != "profile" and was[key] != now[key]]
        if name in loaded and name in lines and loaded[name].profile_id != lines[name].profile_id:
            parts.append(f"profile (guarantee: {loaded[name].guarantee})")
        if before.plan.enabled != place.plan.enabled:
            parts.append("enabled" if place.plan.enabled else "disabled")
        out += [f"line {name}: {', '.join(parts)}"] if parts else []
    return out
