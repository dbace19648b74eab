"""What a watch has found, in words and numbers: `recalibrate`, with its evidence. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from agent.drift.line_drift import DriftPlan, LineDrift
from agent.records import timestamp

FINDINGS = {
    "z_high": "scores lie higher than in the calibration: false alarms",
    "z_low": "scores lie lower than in the calibration: defects may be missed",
    "sharpness_low": "pictures are less sharp than in the calibration: lens, focus, shaking",
    "sharpness_high": "pictures are sharper than in the calibration: another lens, surface or exposure",
    "light_low": "pictures are darker than in the calibration: lamp, lens, exposure",
    "light_high": "pictures are lighter than in the calibration: light, exposure",
    "displacement_high": "pictures lie elsewhere than in the calibration: camera or holder moved",
}
"""Every tail that may be watched."""


@dataclass(frozen=True)
class DriftFinding:
    """`beyond` of the `units` since about `since` lie beyond `limit`, where at most the share `expected` should.

    anomalies: how many of these units were judged anomalous. found: when that was certain enough.
    """

    statistic: str
    text: str
    since: datetime
    found: datetime
    units: int
    beyond: int
    expected: float
    limit: float
    anomalies: int

    @property
    def rate(self) -> float:
        return self.beyond / self.units if self.units else 0.0

    def __str__(self) -> str:
        side = "above" if self.statistic.endswith("_high") else "below"
        found = (
            f"{self.text}; since about {self.since:%Y-%m-%d %H:%M} UTC {self.beyond} of {self.units} units "
            f"({self.rate:.0%}) {side} {self.limit:.4g}, at most {self.expected:.0%} expected"
        )
        if not self.anomalies:
            return found
        return f"{found}; {self.anomalies} of them judged anomalous, and a run of real defects looks like this too"

    def body(self) -> dict[str, Any]:
        """As JSON values."""
        times = {"since": timestamp(self.since), "found": timestamp(self.found)}
        return {**asdict(self), **times, "rate": round(self.rate, 4), "expected": round(self.expected, 4)}


@dataclass(frozen=True)
class DriftReport:
    """The watch of a line at one moment. `not_watched`: why there is none, None where there is one."""

    not_watched: str | None = None
    units: int = 0
    false_alarm: float | None = None
    findings: tuple[DriftFinding, ...] = ()

    @property
    def recalibrate(self) -> bool:
        return bool(self.findings)

    def note(self, line: str) -> str | None:
        """For people; None while there is nothing to do."""
        return f"line {line}: recalibrate: {self.findings[0]}" if self.findings else None

    def body(self) -> dict[str, Any]:
        """As JSON values, for every place that shows it."""
        return {
            "recalibrate": self.recalibrate,
            "advice": str(self.findings[0]) if self.findings else None,
            "not_watched": self.not_watched,
            "units": self.units,
            "false_alarm": self.false_alarm,
            "findings": [finding.body() for finding in self.findings],
        }


NOT_LOOKED_AT = DriftReport("not looked at yet")


def drift_report(state: LineDrift, plan: DriftPlan, false_alarm: float) -> DriftReport:
    """What was found, the strongest evidence first."""
    found = []
    for name, tail in state.tails.items():
        if tail.found is None or tail.episode is None:
            continue
        episode = tail.episode
        finding = DriftFinding(
            statistic=name,
            text=FINDINGS[name],
            since=episode.since,
            found=tail.found,
            units=episode.units,
            beyond=episode.beyond,
            expected=plan.rate,
            limit=plan.tails[name],
            anomalies=episode.anomalies,
        )
        found.append((episode.run, finding))
    ordered = sorted(found, key=lambda pair: -pair[0])
    return DriftReport(None, state.units, false_alarm, tuple(finding for _, finding in ordered))
