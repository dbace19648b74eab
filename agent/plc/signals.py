"""What a PLC sees of one line, as pure steps: verdict, readiness, and the handshake Done - Ack.

Fail-safe: OK stands only while the newest verdict is `ok` and the line can judge. All else is NG: an anomaly, an
uncertain image, one without a verdict, a line that does not run, an agent that has stopped.

The handshake begins with the first acknowledgement that a PLC ever gives. From then on each result is shown until it is
acknowledged (Done, Ack, Done off, Ack off), and the next ones wait for their turn. Without it the newest is shown, and
an NG stays for a while, so that a PLC which looks a few times a second sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fbclip.decision import Decision, Verdict

MOST_WAITING = 64


@dataclass(frozen=True)
class PlcResult:
    """One committed verdict; `number` counts those of the line in this run from 1, `at` is monotonic s."""

    number: int
    verdict: Verdict
    reason: str | None
    z: float | None
    threshold: float | None
    score: float | None
    at: float


@dataclass(frozen=True)
class LineSignals:
    """`running`: frames are judged and recorded now. `busy`: a trigger waits for its verdict. `done`: `result` is not
    acknowledged yet. `lost`: results that found no room to wait for their acknowledgement.
    """

    running: bool = False
    busy: bool = False
    done: bool = False
    acknowledged: bool = False
    handshake: bool = False
    result: PlcResult | None = None
    waiting: tuple[PlcResult, ...] = ()
    count: int = 0
    lost: int = 0
    ng_until: float = float("-inf")

    def ok(self, now: float) -> bool:
        return self.running and self.result is not None and self.result.verdict is Verdict.OK and now >= self.ng_until

    @property
    def no_verdict(self) -> bool:
        return not self.running or self.result is None or self.result.verdict is Verdict.REJECTED

    @property
    def ready(self) -> bool:
        """A trigger would be taken, and what it brings would be shown at once."""
        return self.running and not self.busy and not self.done


def with_decision(signals: LineSignals, decision: Decision, now: float, hold_s: float) -> LineSignals:
    """A verdict was committed at `now` (monotonic s)."""
    number = signals.count + 1
    result = PlcResult(number, decision.verdict, decision.reason, decision.z, decision.threshold, decision.score, now)
    signals = replace(signals, count=number)
    if signals.handshake and (signals.done or signals.acknowledged):
        return _queued(signals, result)
    return _shown(signals, result, now, hold_s)


def with_acknowledgement(signals: LineSignals, value: bool, now: float, hold_s: float) -> LineSignals:
    """The PLC has set or cleared Ack."""
    if value and not signals.acknowledged:
        return replace(signals, handshake=True, acknowledged=True, done=False, ng_until=float("-inf"))
    if not value and signals.acknowledged:
        signals = replace(signals, acknowledged=False)
        if signals.waiting:
            first, *others = signals.waiting
            return _shown(replace(signals, waiting=tuple(others)), first, now, hold_s)
    return signals


def _shown(signals: LineSignals, result: PlcResult, now: float, hold_s: float) -> LineSignals:
    held = signals.ng_until if result.verdict is Verdict.OK else now + hold_s
    return replace(signals, result=result, done=True, ng_until=float("-inf") if signals.handshake else held)


def _queued(signals: LineSignals, result: PlcResult) -> LineSignals:
    """Behind those that wait; where there is no room the oldest ok goes, and an NG only where all are."""
    waiting = [*signals.waiting, result]
    if len(waiting) <= MOST_WAITING:
        return replace(signals, waiting=tuple(waiting))
    goes = next((at for at, one in enumerate(waiting) if one.verdict is Verdict.OK), 0)
    del waiting[goes]
    return replace(signals, waiting=tuple(waiting), lost=signals.lost + 1)
