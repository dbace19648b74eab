"""What `calibrate profile` prints: one profile on one screen, two side by side, and its versions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from calibrate.profiles.history import Version
from calibrate.threshold.guarantee_text import guarantee_text
from fbclip.artefacts.profile import Profile
from fbclip.artefacts.profile_file import StoredProfile
from fbclip.artefacts.seal import Seal, promise_text

LONG = 4
_SEALS = {
    Seal.SEALED: "sealed: as it was written",
    Seal.UNSEALED: "unsealed: it, or what it was made from, has no seal, so an edit could not be noticed",
    Seal.EDITED: "edited: its values were changed after it was sealed, so it promises nothing",
}


def shown(stored: StoredProfile, current: int | None) -> str:
    """About twenty lines: what it promises, what it was measured on, what it belongs to."""
    profile, c = stored.trusted, stored.trusted.calibration
    text = guarantee_text(c, stored.seal)
    rows = [
        ("profile", f"{profile.id[:12]} of line {profile.line}, made {profile.created:%Y-%m-%d %H:%M}"),
        ("seal", _SEALS[stored.seal]),
        ("changed", changed_text(stored)),
        ("version", None if current is None else str(current)),
        ("threshold", f"z = {profile.threshold:.4f}" + _uncertain(profile)),
        ("guarantee", f"{'' if text.promised else 'none; '}{text.false_alarms}"),
        ("recall", None if text.recall is None else f"{'' if text.recall_promised else 'none; '}{text.recall}"),
        *(("measured", line) for line in text.measured),
        ("units", f"{text.units}; one unit is one {text.unit}"),
        ("z of normal", "  ".join(f"{q}: {z:.3f}" for q, z in c.quantiles.items()) or None),
        ("model", f"{profile.backbone} {profile.backbone_sha256[:12]}"),
        ("runs in", f"{profile.runtime}, {profile.precision} on {profile.device}"),
        ("adapter", profile.adapter[:12]),
        ("memory", None if profile.memory is None or profile.fusion is None
         else f"{profile.memory[:12]}, used as {profile.fusion.use}"),
        ("input", f"{profile.size} px" + _framing(profile) + f", regions of {profile.min_area_px} px or more"),
        ("data", c.data_sha256[:12]),
    ]  # fmt: skip
    return "\n".join(f"{name:12} {value}" for name, value in rows if value is not None)


def shown_json(stored: StoredProfile, current: int | None) -> dict[str, Any]:
    """The same for a machine; `promise` is what may be relied on."""
    return {
        "id": stored.trusted.id,
        "seal": stored.seal.value,
        "promise": promise_text(stored.trusted, stored.seal),
        "version": current,
        "changed": None if stored.changed is None else stored.changed.model_dump(mode="json"),
        "profile": stored.trusted.model_dump(mode="json"),
    }


def changed_text(stored: StoredProfile) -> str | None:
    """Who changed it, when and what; None where nobody did."""
    change = stored.changed
    if change is None:
        return None
    note = "" if change.note is None else f" ({change.note})"
    return f"{change.what} by {change.by}, {change.at:%Y-%m-%d %H:%M}{note}"


def differences(a: StoredProfile, b: StoredProfile) -> list[tuple[str, Any, Any]]:
    """(field, value in a, value in b) of every field that differs; what is missing in one is None there."""
    left, right = (dict(_flat(_values(stored))) for stored in (a, b))
    names = dict.fromkeys([*left, *right])
    return [(n, left.get(n), right.get(n)) for n in names if left.get(n) != right.get(n)]


def difference_text(name: str, a: Any, b: Any) -> str:
    """One line."""
    return f"{name}: {_short(a)} -> {_short(b)}"


def history_text(found: Sequence[Version], current: int | None) -> list[str]:
    """A line each, the newest first."""
    return [_version_text(version, version.number == current) for version in reversed(found)]


def _version_text(version: Version, current: bool) -> str:
    head = f"{'*' if current else ' '} {version.number:>4}"
    if version.stored is None:
        return f"{head}  cannot be read: {version.problem}"
    profile = version.stored.trusted
    what = changed_text(version.stored) or f"made {profile.created:%Y-%m-%d %H:%M}"
    promise = promise_text(profile, version.stored.seal)
    return f"{head}  {profile.id[:12]}  threshold {profile.threshold:.4f}  {what}; guarantee: {promise}"


def _values(stored: StoredProfile) -> dict[str, Any]:
    changed = None if stored.changed is None else stored.changed.model_dump(mode="json")
    return {**stored.trusted.model_dump(mode="json"), "changed": changed, "seal": stored.seal.value}


def _flat(values: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > LONG:
        return f"{len(value)} values from {value[0]} to {value[-1]}"
    return "none" if value is None else str(value)


def _uncertain(profile: Profile) -> str:
    return "" if profile.uncertain_above is None else f", uncertain above {profile.uncertain_above:.4f}"


def _framing(profile: Profile) -> str:
    parts = (
        None if profile.roi is None else "a region of the frame",
        None if profile.tiling is None else f"{profile.tiling.columns}x{profile.tiling.rows} tiles",
        None if profile.ignore_mask is None else f"mask {profile.ignore_mask.file}",
    )
    return "".join(f", {part}" for part in parts if part)
