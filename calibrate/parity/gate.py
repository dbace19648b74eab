"""Whether a profile for another runtime may take the place of the one it was measured beside. Pure."""

from __future__ import annotations

from fbclip.artefacts.profile import Profile
from fbclip.artefacts.sees import FoundShare, Sees

TOLERATED = 0.05
"""Share of a row's painted defects that may be lost before sight has fallen: of 30 one lies at the threshold anyway."""


def refusals(old: Profile, new: Profile) -> list[str]:
    """Every reason against the new profile, one line each; none where nothing has fallen."""
    return [*_promises(old, new), *_sight(old.sees, new.sees)]


def _promises(old: Profile, new: Profile) -> list[str]:
    found = []
    before, after = old.calibration.guarantee, new.calibration.guarantee
    if before is not None and (after is None or after.false_alarm_rate > before.false_alarm_rate):
        found.append(f"its guarantee of at most {before.false_alarm_rate:.2%} false alarms would fall")
    recall, kept = old.calibration.recall_guarantee, new.calibration.recall_guarantee
    if recall is not None and (kept is None or kept.recall < recall.recall):
        found.append(f"its guarantee of at least {recall.recall:.1%} recall would fall")
    return found


def _sight(old: Sees | None, new: Sees | None) -> list[str]:
    if old is None or new is None:
        return []
    if new.blind and not old.blind:
        return ["it would be blind: nothing shows that it finds even large defects"]
    rows = [*old.sizes, *filter(None, [old.real])]
    found = {row.what: row for row in (*new.sizes, *filter(None, [new.real]))}
    return [text for row in rows if row.what in found and (text := _fallen(row, found[row.what]))]


def _fallen(before: FoundShare, after: FoundShare) -> str | None:
    # The same defects are painted on the same units; a picture that one of the two could not read is in neither share.
    same = after.found if after.total == before.total else after.found / max(1, after.total) * before.total
    if before.found - same <= max(1.0, TOLERATED * before.total):
        return None
    return f"of {after.total} {before.what} defects it finds {after.found}, before {before.found} of {before.total}"
