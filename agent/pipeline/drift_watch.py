"""Stored inspections -> units -> the watch for drift, line by line; its state is saved once a second at most.

What a unit is: each file; of a trigger's images the first one; of a continuous camera and of a video one frame every
`drift.every_s`, since frames in a row show the same part; each volume, a file or a series, by the z of its worst slice,
where the profile was measured on volumes. What is no picture at all (black, frozen, lost) is none: it alarms by itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from agent.config.line import LineSection
from agent.config.source import VideoSource
from agent.drift.advice import DriftReport, drift_report
from agent.drift.drift_store import DriftStore, Key
from agent.drift.line_drift import DriftPlan, DriftUnit, LineDrift, drift_plan, reference_of, with_unit
from agent.errors import StoreError
from agent.pipeline.judged import Judged
from agent.pipeline.lines import Line
from agent.records import LineMode
from fbclip.decision import Verdict

log = logging.getLogger(__name__)
SAVE_S = 1.0


class DriftWatch:
    """`recorded` and `save` are the recorder's; any thread may ask for a `report`."""

    def __init__(
        self, lines: Mapping[str, Line], store: DriftStore, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises StoreError when what was seen before cannot be read."""
        self._lines = lines
        self._store = store
        self._monotonic = monotonic
        self._states: dict[Key, LineDrift] = store.load()
        self._plans: dict[tuple[str, float], DriftPlan | None] = {}
        self._unsaved: set[Key] = set()
        self._saved = monotonic()
        self._last_part: dict[str, int] = {}
        self._last_taken: dict[str, float] = {}
        self._volumes_passed: set[Key] = set()

    def recorded(self, judged: Judged) -> None:
        """One inspection was stored."""
        line = self._lines.get(judged.inspection.line)
        plan = None if line is None else self._plan(line)
        if line is None or plan is None or judged.inspection.profile_id != line.profile_id:
            return
        key = _key(line)
        if judged.of_volume and not plan.of_volumes:
            self._volumes_passed.add(key)
            return
        if not self._is_unit(judged, line.section):
            return
        state = self._states.get(key)
        if state is None or not plan.fits(state):
            state = plan.begin()
        self._states[key] = with_unit(state, plan, _unit(judged))
        self._unsaved.add(key)
        if self._monotonic() - self._saved >= SAVE_S:
            self.save()

    def save(self) -> None:
        """What is new, also at the end of a run. A store that refuses is asked again with the next unit."""
        self._saved = self._monotonic()
        if not self._unsaved:
            return
        try:
            self._store.save({key: self._states[key] for key in self._unsaved})
        except StoreError as error:
            log.warning("what the drift watch has seen cannot be saved yet: %s", error)
            return
        self._unsaved.clear()

    def report(self, name: str) -> DriftReport:
        """The line as it is now."""
        line = self._lines.get(name)
        if line is None or line.loaded is None:
            return DriftReport("no profile")
        section = line.section.drift
        if not section.watch:
            return DriftReport("switched off")
        if line.section.mode is LineMode.LEARNING:
            return DriftReport("mode learning")
        plan = self._plan(line)
        if plan is None:
            return DriftReport("the profile holds no reference for it: calibrate anew, with at least 20 normal units")
        state = self._states.get(_key(line))
        if state is None and _key(line) in self._volumes_passed:
            return DriftReport(
                "the profile holds no reference for scans of several slices: calibrate anew, with volumes"
            )
        if state is None or not plan.fits(state):
            state = plan.begin()
        return drift_report(state, plan, section.false_alarm)

    def _plan(self, line: Line) -> DriftPlan | None:
        section = line.section.drift
        if line.loaded is None or not section.watch or line.section.mode is LineMode.LEARNING:
            return None
        key = (str(line.measured_id), section.false_alarm)
        if key not in self._plans:
            reference = reference_of(line.loaded.profile)
            self._plans[key] = None if reference is None else drift_plan(reference, section.false_alarm)
        return self._plans[key]

    def _is_unit(self, judged: Judged, section: LineSection) -> bool:
        frame = judged.frame
        if judged.inspection.decision.z is None and (judged.of_volume or judged.measures is None):
            return False
        if any(file.was_judged for file in frame.series):
            # A late slice brought its series back: it was a unit before.
            return False
        if frame.part is not None:
            first = frame.part.number > self._last_part.get(section.name, -1)
            self._last_part[section.name] = max(frame.part.number, self._last_part.get(section.name, -1))
            return first
        if not section.is_live and not isinstance(section.source, VideoSource):
            return True
        last = self._last_taken.get(section.name)
        if last is not None and frame.monotonic - last < section.drift.every_s:
            return False
        self._last_taken[section.name] = frame.monotonic
        return True


def _key(line: Line) -> Key:
    """By the profile as it was measured: a threshold set by hand changes nothing that is watched."""
    return line.name, str(line.measured_id)


def _unit(judged: Judged) -> DriftUnit:
    decision, measures = judged.inspection.decision, judged.measures
    values = {"z": decision.z}
    # Those of a worst slice would be compared with those of any.
    if measures is not None and not judged.of_volume:
        values |= {
            "sharpness": measures.sharpness,
            "light": measures.light,
            "displacement": measures.displacement,
        }
    return DriftUnit(judged.inspection.ts, values, decision.verdict is Verdict.ANOMALY)
