"""What a shadow profile would have said, counted beside what was said: read before somebody switches to it."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.pipeline.judged import Judged
from agent.pipeline.lines import Line
from agent.records import timestamp
from fbclip.decision import Verdict

MOST_DIFFERENCES = 20
_ALARMS = (Verdict.ANOMALY, Verdict.UNCERTAIN)


@dataclass(frozen=True)
class ShadowDifference:
    """One inspection of which the two profiles think differently."""

    inspection_id: int
    ts: datetime
    live: Verdict
    shadow: Verdict
    z: float | None
    shadow_z: float | None


@dataclass(frozen=True)
class ShadowCounts:
    """Of one pair of profiles since `since`. `pairs`: (verdict of the line, of its shadow) -> how often."""

    profile: str
    shadow: str
    since: datetime
    pairs: Mapping[tuple[Verdict, Verdict], int]
    differences: tuple[ShadowDifference, ...]

    @property
    def judged(self) -> int:
        return sum(self.pairs.values())

    @property
    def agree(self) -> int:
        return sum(count for (live, shadow), count in self.pairs.items() if live is shadow)

    def of_live(self, verdict: Verdict) -> int:
        """How often the line's own profile said so."""
        return sum(count for (live, _), count in self.pairs.items() if live is verdict)

    def of_shadow(self, verdict: Verdict) -> int:
        """How often the shadow would have said so."""
        return sum(count for (_, shadow), count in self.pairs.items() if shadow is verdict)

    def body(self) -> dict[str, object]:
        """For the state, `agent status` and whoever compares by machine."""
        return {
            "profile": self.profile,
            "shadow_profile": self.shadow,
            "since": timestamp(self.since),
            "judged": self.judged,
            "agree": self.agree,
            "live": {v.value: self.of_live(v) for v in Verdict if v is not Verdict.REJECTED},
            "shadow": {v.value: self.of_shadow(v) for v in Verdict if v is not Verdict.REJECTED},
            "only_live_alarms": sum(n for (a, b), n in self.pairs.items() if a in _ALARMS and b is Verdict.OK),
            "only_shadow_alarms": sum(n for (a, b), n in self.pairs.items() if a is Verdict.OK and b in _ALARMS),
        }


class _Tally:
    def __init__(self, profile: str, shadow: str, since: datetime) -> None:
        self.key = (profile, shadow)
        self.since = since
        self.pairs: Counter[tuple[Verdict, Verdict]] = Counter()
        self.differences: deque[ShadowDifference] = deque(maxlen=MOST_DIFFERENCES)


class ShadowTally:
    """Hears of every inspection. Thread-safe; counts begin anew with each run and each change of one of the two."""

    def __init__(self, lines: Mapping[str, Line], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._lines = lines
        self._now = now
        self._lock = threading.Lock()
        self._tallies: dict[str, _Tally] = {}

    def inspected(self, judged: Judged) -> None:
        inspection, shadow = judged.inspection, judged.shadow
        line = self._lines.get(inspection.line)
        if shadow is None or line is None or line.shadow is None or judged.row is None:
            return
        key = (inspection.profile_id or "", line.shadow.profile.id)
        decision = inspection.decision
        with self._lock:
            tally = self._tallies.get(inspection.line)
            if tally is None or tally.key != key:
                tally = self._tallies[inspection.line] = _Tally(*key, self._now())
            tally.pairs[decision.verdict, shadow.verdict] += 1
            if decision.verdict is not shadow.verdict:
                tally.differences.append(
                    ShadowDifference(judged.row, inspection.ts, decision.verdict, shadow.verdict, decision.z, shadow.z)
                )

    def of(self, line: str) -> ShadowCounts | None:
        """None where nothing was judged twice yet."""
        with self._lock:
            tally = self._tallies.get(line)
            if tally is None:
                return None
            latest_first = tuple(reversed(tally.differences))
            return ShadowCounts(*tally.key, tally.since, dict(tally.pairs), latest_first)
