"""What a profile finds of defects: painted ones by size and kind, and real ones where some were given."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fbclip.frozen import Frozen

BLIND_BELOW = 0.3
"""A profile sees if the interval of the large painted defects that it finds begins at this share or above."""
DefectSize = Literal["small", "medium", "large"]


class FoundShare(Frozen):
    """`found` of `total` units with such a defect lie above the threshold; their share's exact interval in 0..1.

    z: of these units, rising, rounded to 6 digits, so that another threshold can be judged; empty where not kept.
    """

    what: str
    found: int = Field(ge=0)
    total: int = Field(ge=0)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    z: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = ()

    @model_validator(mode="after")
    def _within(self) -> FoundShare:
        if self.found > self.total:
            raise ValueError(f"found {self.found} of {self.total}")
        return self


class ComparedRule(Frozen):
    """What the threshold of a rule in common use does on the same units, for comparison; nothing is promised of it.

    alarms: of the normal units that set it and the profile's threshold.
    """

    name: str
    threshold: float = Field(allow_inf_nan=False)
    alarms: FoundShare
    sizes: tuple[FoundShare, ...]
    real: FoundShare | None = None


class Sees(Frozen):
    """Defects painted on normal units that had no say in the threshold, each unit once in each row.

    `confidence` is that of every interval by itself. `real`: None where no anomalous unit was given, or where these
    set the threshold.
    """

    confidence: Annotated[float, Field(gt=0, lt=1)]
    sizes: tuple[FoundShare, ...]
    kinds: tuple[FoundShare, ...]
    real: FoundShare | None = None
    rule: ComparedRule | None = Field(None, description="None where that rule sets no threshold")

    @property
    def large(self) -> FoundShare | None:
        """The row of the large painted defects."""
        return next((row for row in self.sizes if row.what == "large"), None)

    @property
    def blind(self) -> bool:
        """Whether nothing shows that the profile finds even large defects."""
        return self.large is None or self.large.low < BLIND_BELOW


def sees_summary(sees: Sees) -> str:
    """A few words: what is found of painted defects, the largest first, and of real ones."""
    named = [(f"{row.what} painted defects", row) for row in reversed(sees.sizes)]
    if sees.real is not None:
        named.append(("anomalous units", sees.real))
    found = ", ".join(f"{row.found} of {row.total} {what}" for what, row in named if row.total)
    return f"{'BLIND: ' if sees.blind else ''}finds {found or 'nothing that was measured'}"
