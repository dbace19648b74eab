"""What a profile promises, in words: the one wording of the guarantee, for the terminal and for the report. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from calibrate.statistics.intervals import supported_alpha
from calibrate.threshold.independence import independence_text
from calibrate.wording import percent, plural
from fbclip.artefacts.profile import Calibration, MeasuredRates
from fbclip.artefacts.seal import Seal

EDITED = "the profile was edited after it was sealed (edited)"
_METHODS = {"f1": "where F1 is best", "manual": "by hand"}
_UNITS = {"layout": "part, as the data set names it", "collect": "part, as the agent collected it"}


@dataclass(frozen=True)
class GuaranteeText:
    """Phrases without a full stop at the end, in lower case.

    false_alarms: the promise where `promised`, else why there is none; recall: the same, None where none was asked
    for; recall_promised goes with it; units: the units behind the threshold, exceedances included; unit: what one unit
    is; measured: what units that did not choose the threshold showed at it, None where nothing was measured.
    """

    promised: bool
    false_alarms: str
    recall_promised: bool
    recall: str | None
    units: str
    unit: str
    measured: tuple[str, ...]


def guarantee_text(c: Calibration, seal: Seal = Seal.SEALED) -> GuaranteeText:
    """Of a profile's calibration; of an edited profile, whose calibration has no promise, that it was edited."""
    unsealed = " (unsealed)" if seal is Seal.UNSEALED and c.guarantee is not None else ""
    return GuaranteeText(
        promised=c.guarantee is not None,
        false_alarms=EDITED if seal is Seal.EDITED else _false_alarms(c) + unsealed,
        recall_promised=c.recall_guarantee is not None,
        recall=None if seal is Seal.EDITED else _recall(c),
        units=_units(c),
        unit=_unit(c.unit),
        measured=() if c.measured is None else _measured(c.measured),
    )


def alarm_verb(c: Calibration) -> str:
    """What the guarantee bounds of a normal unit: `alarm`, or `alarm or are uncertain`."""
    return "alarm or are uncertain" if c.bounds == "uncertain" else "alarm"


def _false_alarms(c: Calibration) -> str:
    if c.guarantee is not None:
        g = c.guarantee
        at_most = percent(g.false_alarm_rate)
        return f"with {percent(g.confidence)} confidence at most {at_most} of normal units {alarm_verb(c)}"
    if c.method in _METHODS:
        return f"the threshold was set {_METHODS[c.method]}, which bounds no rate"
    best = percent(supported_alpha(c.counted_units, c.confidence))
    if c.expected_false_alarm_rate is not None:
        share = percent(c.expected_false_alarm_rate)
        return (
            f"too few normal units for one. The limit lies between the largest z and the second largest, so that no "
            f"single unit sets it alone; on average at most {share} of normal units {alarm_verb(c)}"
        )
    return (
        f"{plural(c.n_good, 'normal unit')} can at best show that at most {best} of normal units {alarm_verb(c)}, "
        f"with {percent(c.confidence)} confidence"
    )


def _recall(c: Calibration) -> str | None:
    if c.recall_guarantee is not None:
        g = c.recall_guarantee
        found = percent(g.recall)
        return f"with {percent(g.confidence)} confidence at least {found} of anomalous units like these alarm"
    if c.recall_target is None:
        return None
    best = percent(1 - supported_alpha(c.n_bad, c.confidence))
    return (
        f"{plural(c.n_bad, 'anomalous unit')} can at best show that at least {best} of anomalous units alarm, "
        f"with {percent(c.confidence)} confidence"
    )


def _units(c: Calibration) -> str:
    anomalous = f" and {plural(c.n_bad, 'anomalous one')}" if c.n_bad else ""
    above = f"{c.exceedances:,} {'normal ones ' if c.n_bad else ''}above the threshold"
    found = "" if c.independence is None else independence_text(c.independence, c.n_good)
    vouched = "; independence is the user's word" if c.independence is not None and c.independence.assumed else ""
    counted = f"; {found}" if found else ""
    scale = f"{c.n_constants:,} others set the scale"
    return f"{plural(c.n_good, 'normal unit')}{anomalous}, {above}; {scale}{counted}{vouched}"


def _unit(stored: str) -> str:
    pattern = stored.removeprefix("name:")
    return _UNITS.get(stored, stored) if pattern == stored else f"part, named by {pattern} in its file name"


def _measured(m: MeasuredRates) -> tuple[str, ...]:
    rates = [(m.false_alarms, m.n_good, "normal", m.false_alarm_low, m.false_alarm_high)]
    if m.n_bad:
        rates.append((m.n_bad - m.misses, m.n_bad, "anomalous", m.recall_low, m.recall_high))
    return tuple(
        f"{count:,} of {total:,} {kind} units alarm, {percent(low)} to {percent(high)} "
        f"at {percent(m.confidence)} confidence"
        for count, total, kind, low, high in rates
    )
