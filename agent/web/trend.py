"""z of the last minutes, coarse enough for a small curve: of each span of time the largest, and the worst verdict."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from fbclip.decision import Verdict

SPAN_S = 2.0
SPANS = 150
RATE_S = 10.0
_GRAVITY = {Verdict.OK: 0, Verdict.UNCERTAIN: 1, Verdict.REJECTED: 2, Verdict.ANOMALY: 3}
_LETTER = {Verdict.OK: "o", Verdict.UNCERTAIN: "u", Verdict.REJECTED: "r", Verdict.ANOMALY: "a"}


@dataclass
class _Span:
    number: int
    count: int
    z: float | None
    verdict: Verdict


class Trend:
    """Of one line; not thread-safe. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._spans: deque[_Span] = deque(maxlen=SPANS)

    def add(self, now: float, verdict: Verdict, z: float | None) -> None:
        """One inspection."""
        number = int(now // SPAN_S)
        if not self._spans or self._spans[-1].number != number:
            self._spans.append(_Span(number, 1, z, verdict))
            return
        last = self._spans[-1]
        last.count += 1
        if z is not None and (last.z is None or z > last.z):
            last.z = z
        if _GRAVITY[verdict] > _GRAVITY[last.verdict]:
            last.verdict = verdict

    def points(self, now: float) -> list[tuple[int, float | None, str]]:
        """(seconds ago, largest z, first letter of the worst verdict), oldest first."""
        newest = int(now // SPAN_S)
        recent = [span for span in self._spans if newest - span.number < SPANS]
        return [
            (round((newest - s.number) * SPAN_S), None if s.z is None else round(s.z, 2), _LETTER[s.verdict])
            for s in recent
        ]

    def rate(self, now: float) -> float:
        """Inspections a second, of the last whole spans."""
        newest = int(now // SPAN_S)
        spans = round(RATE_S / SPAN_S)
        count = sum(span.count for span in self._spans if newest - spans <= span.number < newest)
        return count / RATE_S
