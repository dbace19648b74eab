"""Whether the units behind a threshold are independent, and how many of them count."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fbclip.frozen import Frozen


class Independence(Frozen):
    """What was looked for, and what it showed. `assumed`: nothing was taken away for it, since the user vouches."""

    near_duplicates: int = Field(ge=0, description="normal units whose picture is that of another one")
    order: Literal["time", "name"] | None = Field(None, description="what tells in which order units came")
    lag1: Annotated[float, Field(ge=-1, le=1)] | None = Field(None, description="autocorrelation of the ranks of z")
    p_value: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="of lag1, by permutations")
    level: Annotated[float, Field(gt=0, lt=1)] = Field(description="p values up to this one count as dependence")
    effective: int = Field(ge=0, description="so many independent units are the n_good units worth")
    assumed: bool = False

    @property
    def dependent(self) -> bool:
        """Whether the units depend on each other in time."""
        return self.p_value is not None and self.p_value <= self.level
