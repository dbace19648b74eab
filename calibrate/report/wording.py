"""Numbers and findings in plain words. What is undefined is n/a, never 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from calibrate.report.counts import Share, VerdictCounts
from calibrate.statistics.binomial import supported_alpha
from fbclip.artefacts.profile import Calibration, MeasuredRates

UNDEFINED = "n/a"
# A number and its unit stay on one line.
_JOIN = "\u00a0"
_METHODS = {"f1": "where F1 is best", "manual": "by hand"}
_UNITS = {"layout": "part, as the data set names it", "collect": "part, as the agent collected it"}

Tone = Literal["good", "none", "bad"]


@dataclass(frozen=True)
class Statement:
    """What may be relied on: one sentence, and what it rests on."""

    tone: Tone
    head: str
    basis: str


def number(value: float | None, digits: int = 3) -> str:
    return UNDEFINED if value is None else f"{value:.{digits}f}".replace("-", "−")


def percent(value: float | None) -> str:
    """Two digits that count, without rounding a rate short of 0 or 1 onto it."""
    if value is None:
        return UNDEFINED
    hundred = 100 * value
    decimals = 2 if hundred < 1 or 99 < hundred < 100 else 1
    text = f"{hundred:.{decimals}f}"
    if value < 1 and float(text) == 100:
        return f">{_JOIN}99.99{_JOIN}%"
    if value > 0 and float(text) == 0:
        return f"<{_JOIN}0.01{_JOIN}%"
    return f"{text.rstrip('0').rstrip('.')}{_JOIN}%"


def interval(value: Share) -> str:
    """The interval alone."""
    return UNDEFINED if value.interval is None else " to ".join(percent(v) for v in value.interval)


def between(ends: tuple[float, float]) -> str:
    """An interval of a number in 0..1."""
    return f"{number(ends[0])} to {number(ends[1])}"


def share(value: Share) -> str:
    """As a sentence's end: count, rate and interval."""
    return f"{value.count:,} of {value.total:,}, {percent(value.rate)} (95{_JOIN}% interval {interval(value)})"


def plural(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def guarantee(c: Calibration) -> Statement:
    """The promise of a profile, or why there is none."""
    units = plural(c.n_good, "normal unit") + (f" and {plural(c.n_bad, 'anomalous one')}" if c.n_bad else "")
    above = (
        f"{c.exceedances:,} normal ones above the threshold" if c.n_bad else f"{c.exceedances:,} above the threshold"
    )
    basis = f"{units}, {above}; {c.n_constants:,} others set the scale. One unit is one {_unit(c.unit)}."
    if c.guarantee is None:
        return Statement(
            "none", f"No guarantee: {_why_none(c)}", basis if c.measured is None else _measured(c.measured)
        )
    g = c.guarantee
    head = f"With {percent(g.confidence)} confidence at most {percent(g.false_alarm_rate)} of normal units {_alarm(c)}"
    if c.recall_guarantee is not None:
        found = f"at least {percent(c.recall_guarantee.recall)} of anomalous units like those it was set on alarm"
        basis = f"And with {percent(c.recall_guarantee.confidence)} confidence {found}. {basis}"
    return Statement("good", head, basis)


def _alarm(c: Calibration) -> str:
    return "alarm or are uncertain" if c.bounds == "uncertain" else "alarm"


def _why_none(c: Calibration) -> str:
    if c.method in _METHODS:
        return f"the threshold was set {_METHODS[c.method]}, which bounds no rate"
    best = percent(supported_alpha(c.n_good, c.confidence))
    return f"{plural(c.n_good, 'normal unit')} can at best show that at most {best} of normal units {_alarm(c)}"


def _measured(m: MeasuredRates) -> str:
    """What units that had no part in choosing the threshold showed at it."""
    low, high = percent(m.false_alarm_low), percent(m.false_alarm_high)
    said = f"Units that did not choose it: {m.false_alarms:,} of {m.n_good:,} normal ones alarmed ({low} to {high})"
    if m.n_bad:
        low, high = percent(m.recall_low), percent(m.recall_high)
        said += f", {m.n_bad - m.misses:,} of {m.n_bad:,} anomalous ones were found ({low} to {high})"
    return f"{said}; intervals at {percent(m.confidence)} confidence."


def contradiction(c: Calibration, normal: VerdictCounts) -> str | None:
    """Said when the normal units measured here rule the promise out."""
    alarms = normal.share("anomaly", "uncertain") if c.bounds == "uncertain" else normal.share("anomaly")
    if c.guarantee is None or alarms.interval is None or alarms.interval[0] <= c.guarantee.false_alarm_rate:
        return None
    return (
        f"The normal units measured here {_alarm(c)} more often than promised: {share(alarms)}. Either they are not "
        "like those the threshold was set on, or the line has changed; set the threshold anew."
    )


def plain(value: Any) -> str:
    """A value of unknown shape, as a list of skipped files may hold, on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {plain(v)}" for name, v in value.items())
    if isinstance(value, list):
        return ", ".join(plain(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return UNDEFINED if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _unit(text: str) -> str:
    pattern = text.removeprefix("name:")
    return _UNITS.get(text, text) if pattern == text else f"part, named by {pattern} in its file name"
