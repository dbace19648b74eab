"""What `calibrate threshold` says: of a profile, and of a wish that cannot be met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from calibrate.statistics.binomial import supported_alpha
from calibrate.threshold.operating_point import InfeasibleError, OperatingPoint
from fbclip.artefacts.profile import Calibration, MeasuredRates, Profile


def profile_text(out: Path, profile: Profile) -> str:
    """A few lines: the threshold, what stands behind it, and what is guaranteed."""
    c = profile.calibration
    units = f"{c.n_good} normal units" + (f" and {c.n_bad} anomalous ones" if c.n_bad else "")
    lines = [f"{out}: threshold {profile.threshold:.4f} from {units} ({c.n_constants} more set the scale)"]
    if c.measured is not None:
        return "\n".join([*lines, "guarantee: none", *_measured_lines(c.measured)])
    lines.append(_false_alarm_line(c))
    if c.recall_guarantee is not None:
        lines.append(
            f"guarantee: with {c.confidence:.0%} confidence at least {c.recall_guarantee.recall:.1%} "
            "of anomalous units like these alarm"
        )
    elif c.recall_target is not None:
        shown = 1 - supported_alpha(c.n_bad, c.confidence)
        lines.append(
            f"recall guarantee: none. {c.n_bad} anomalous units can only show that at least {shown:.1%} alarm, "
            f"with {c.confidence:.0%} confidence"
        )
    if c.interval is not None:
        lines.append(
            f"both bounds hold from z = {c.interval[0]:.4f} to {c.interval[1]:.4f}; the threshold is the middle"
        )
    return "\n".join(lines)


def _false_alarm_line(c: Calibration) -> str:
    if c.guarantee is None:
        return (
            f"guarantee: none. {c.n_good} normal units can only show that at most "
            f"{supported_alpha(c.n_good, c.confidence):.1%} alarm, with {c.confidence:.0%} confidence"
        )
    what = "alarm or are uncertain" if c.bounds == "uncertain" else "alarm"
    return (
        f"guarantee: with {c.confidence:.0%} confidence at most {c.guarantee.false_alarm_rate:.2%} "
        f"of normal units {what} ({c.exceedances} of {c.n_good} lie above the threshold)"
    )


def _measured_lines(m: MeasuredRates) -> list[str]:
    lines = [
        f"measured: {m.false_alarms} of {m.n_good} normal units alarm, {m.false_alarm_low:.2%} to "
        f"{m.false_alarm_high:.2%} at {m.confidence:.0%} confidence"
    ]
    if m.n_bad:
        lines.append(
            f"measured: {m.n_bad - m.misses} of {m.n_bad} anomalous units alarm, {m.recall_low:.1%} to "
            f"{m.recall_high:.1%} at {m.confidence:.0%} confidence"
        )
    return lines


def curve_text(curve: Sequence[OperatingPoint], confidence: float) -> str:
    """A table of what is attainable; each row holds by itself."""
    head = f"attainable, each bound by itself at {confidence:.0%} confidence:"
    rows = [f"{p.threshold:>10.4f}  {p.false_alarm_rate:>15.2%}  {p.recall:>9.1%}" for p in curve]
    return "\n".join([head, f"{'threshold':>10}  {'false alarms <=':>15}  {'recall >=':>9}", *rows])


def curve_json(error: InfeasibleError) -> dict[str, Any]:
    return {"refused": str(error), "curve": [asdict(p) for p in error.curve]}
