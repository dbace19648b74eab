"""What a line's normal pictures showed of sharpness, light and place: the part of its profile that rejects others."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from fbclip.frozen import Frozen

Share = Annotated[float, Field(gt=0, lt=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class MovedLimits(Frozen):
    """How far a picture may lie from the reference picture, an image beside the profile that is bound by its digest.

    size: shift and rotation together, see `Displacement`; below an agreement of `least_agreement` nothing is said.
    """

    file: str
    sha256: str
    size: Share
    least_agreement: Share


class PictureLimits(Frozen):
    """With probability `confidence` over the `n_units` measured, at most the share `bound` of normal units is rejected.

    sharpness, highlights and light: see `sharpness` and `Light`. moved: None where the line's normal pictures have no
    common place, and then `not_moved_because` says why.
    """

    n_units: int = Field(ge=1)
    bound: float = Field(gt=0, le=1)
    confidence: Share
    least_sharpness: Finite
    least_highlights: float = Field(ge=0, le=255)
    most_light: float = Field(ge=0, allow_inf_nan=False)
    moved: MovedLimits | None = None
    not_moved_because: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> PictureLimits:
        if (self.moved is None) == (self.not_moved_because is None):
            raise ValueError("either moved or not_moved_because is set")
        return self
