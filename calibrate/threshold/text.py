"""What `calibrate threshold` prints: of a profile, and of bounds that cannot both be kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from calibrate.threshold.guarantee_text import guarantee_text
from calibrate.threshold.operating_point import InfeasibleError, OperatingPoint
from calibrate.threshold.profile import ProfileResult
from calibrate.wording import percent
from fbclip.artefacts.profile import Profile
from fbclip.artefacts.sees import ComparedRule, FoundShare, Sees
from fbclip.picture_health.summary import picture_summary


def profile_text(out: Path, profile: Profile) -> str:
    """A few lines: the threshold, what stands behind it, and what is guaranteed."""
    text, interval = guarantee_text(profile.calibration), profile.calibration.interval
    lines = [
        f"{out}: threshold {profile.threshold:.4f} from {text.units}",
        f"guarantee: {'' if text.promised else 'none; '}{text.false_alarms}",
    ]
    if text.recall is not None:
        lines.append(f"recall guarantee: {'' if text.recall_promised else 'none; '}{text.recall}")
    if interval is not None:
        lines.append(f"both bounds hold from z = {interval[0]:.4f} to {interval[1]:.4f}; the threshold is the middle")
    lines.extend(f"measured: {line}" for line in text.measured)
    lines.append(f"pictures: {picture_summary(profile.picture)}")
    if profile.sees is not None:
        lines.extend(sees_text(profile.sees))
        if profile.sees.rule is not None:
            lines.append(rule_text(profile.sees.rule))
    return "\n".join(lines)


def rule_text(rule: ComparedRule) -> str:
    """What the threshold of a common rule would do on the same units; it promises nothing."""
    shown = [f"{_count(rule.alarms)} normal units alarm"]
    shown += [f"finds {_count(row)} {row.what} painted defects" for row in rule.sizes if row.total]
    if rule.real is not None:
        shown.append(f"finds {_count(rule.real)} anomalous units")
    return (
        f"for comparison, the {rule.name} of these units promises nothing: z = {rule.threshold:.4f}, {', '.join(shown)}"
    )


def _count(row: FoundShare) -> str:
    """How many of how many."""
    return f"{row.found:,} of {row.total:,}"


def sees_text(sees: Sees) -> list[str]:
    """What is found of defects, painted and real, a line each."""
    confidence = percent(sees.confidence)
    named = [(f"of {row.what} painted defects", row) for row in sees.sizes]
    named += [(f"of painted defects like {row.what.replace('_', ' ')}", row) for row in sees.kinds]
    if sees.real is not None:
        named.append(("of the anomalous units", sees.real))
    return [
        f"finds {row.found} of {row.total} {what}: {percent(row.low)} to {percent(row.high)} at {confidence} confidence"
        for what, row in named
        if row.total
    ]


def blind_text(result: ProfileResult, drawn: Sequence[Path] = ()) -> list[str]:
    """A warning, and the normal units that the threshold was set by; `drawn`: files with their heat maps."""
    highest = ", ".join(f"{unit} (z {z:.2f})" for unit, z in result.highest)
    return [
        "BLIND: nothing shows that this threshold finds even large defects; on a line in mode live the agent asks for "
        "accept_blind: true",
        f"these normal units set it; take them out of the data if they are anomalous: {highest}",
        *(f"heat map: {path}" for path in drawn),
    ]


def curve_text(curve: Sequence[OperatingPoint], confidence: float) -> str:
    """A table of what is attainable; each row holds by itself."""
    head = f"attainable, each bound by itself at {confidence:.0%} confidence:"
    rows = [f"{p.threshold:>10.4f}  {p.false_alarm_rate:>15.2%}  {p.recall:>9.1%}" for p in curve]
    return "\n".join([head, f"{'threshold':>10}  {'false alarms <=':>15}  {'recall >=':>9}", *rows])


def curve_json(error: InfeasibleError) -> dict[str, Any]:
    """The same for a machine: why it was refused, and the points of the curve."""
    return {"refused": str(error), "curve": [asdict(p) for p in error.curve]}
