"""The seal of a profile: whether it still is what our tools wrote, and what it then promises. Pure.

A seal shows that a value was changed by hand; whoever wants to deceive can compute another one.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from fbclip.artefacts.profile import Profile
from fbclip.files import canonical_json
from fbclip.frozen import Frozen

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Seal(StrEnum):
    """sealed: as it was written. unsealed: written before profiles had a seal. edited: changed since it was sealed."""

    SEALED = "sealed"
    UNSEALED = "unsealed"
    EDITED = "edited"


class ProfileChange(Frozen):
    """Who made this profile out of another one, when, and what differs; no part of what it judges, nor of its id.

    basis: the seal of what it was made from, since a seal that is put on later proves nothing about what was before.
    """

    at: datetime
    by: Text = Field(max_length=64)
    what: Text = Field(max_length=200)
    note: Text | None = Field(None, max_length=500)
    basis: Literal["sealed", "unsealed"]


def seal_of(profile: Profile, changed: ProfileChange | None) -> str:
    """Hex sha256 over the values of every field, so that spelling, order and comments of the file do not matter.

    As in the id, what stands at its default is left out: later versions may have more fields.
    """
    values = {
        "profile": profile.model_dump(mode="json", exclude_defaults=True),
        "changed": None if changed is None else changed.model_dump(mode="json"),
    }
    return hashlib.sha256(canonical_json(values)).hexdigest()


def seal_state(profile: Profile, changed: ProfileChange | None, stored: object) -> Seal:
    """`stored`: what the file has as its seal, None where it has none."""
    if stored is None:
        return Seal.UNSEALED
    if stored != seal_of(profile, changed):
        return Seal.EDITED
    return Seal.UNSEALED if changed is not None and changed.basis == "unsealed" else Seal.SEALED


def without_promises(profile: Profile) -> Profile:
    """The same threshold, of which nothing is known: what was measured belongs to other values."""
    nothing = {"guarantee": None, "recall_guarantee": None, "interval": None, "measured": None}
    return profile.model_copy(update={"calibration": profile.calibration.model_copy(update=nothing)})


def promise_text(profile: Profile, seal: Seal) -> str:
    """What may be relied on, in a few words: `none (edited)`, or the rates with their confidence."""
    c = profile.calibration
    parts = []
    if c.guarantee is not None:
        verb = "alarm or are uncertain" if c.bounds == "uncertain" else "alarm"
        g = c.guarantee
        parts.append(f"at most {_percent(g.false_alarm_rate)} of normal units {verb} ({_percent(g.confidence)} sure)")
    if c.recall_guarantee is not None:
        r = c.recall_guarantee
        parts.append(f"at least {_percent(r.recall)} of anomalous units alarm ({_percent(r.confidence)} sure)")
    if seal is Seal.EDITED:
        return "none (edited)"
    if parts:
        return "; ".join(parts) + (" (unsealed)" if seal is Seal.UNSEALED else "")
    return {"manual": "none (by hand)", "f1": "none (best F1)"}.get(c.method, "none")


def _percent(share: float) -> str:
    return f"{100 * share:.6g}%"
