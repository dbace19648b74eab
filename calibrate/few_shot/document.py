"""Few-shot curves as a file: `calibrate few-shot --out` writes it, `calibrate report --few-shot` reads it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from fbclip.frozen import Frozen

SCHEMA: Literal["calibrate.few-shot/1"] = "calibrate.few-shot/1"
Method = Literal["zero-shot", "memory", "fused", "chosen"]
Measure = Literal["image", "pixel"]
METHODS: tuple[Method, ...] = ("zero-shot", "memory", "fused", "chosen")
"""`chosen` is what --use auto takes."""
MEASURES: tuple[Measure, ...] = ("image", "pixel")
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Estimate(Frozen):
    """AUROC in 0..1. `fewshot_curve` says what low..high covers."""

    values: tuple[Share, ...] = Field(min_length=1, description="one a seed; in a mean over sets, one a set")
    mean: Share
    low: Share
    high: Share

    @model_validator(mode="after")
    def _order(self) -> Estimate:
        if self.low > self.high:
            raise ValueError(f"low {self.low} lies above high {self.high}")
        return self


class Step(Frozen):
    """Memories of one number of images. `image` is of the image's number, `pixel` of the map's pixels."""

    pictures: int = Field(ge=1)
    took: dict[str, int] = Field(description="what auto chose -> in how many memories")
    image: dict[Method, Estimate]
    pixel: dict[Method, Estimate] | None = Field(None, description="None without masks")

    @model_validator(mode="after")
    def _whole(self) -> Step:
        for found in (self.image, self.pixel or self.image):
            missing = [method for method in METHODS if method not in found]
            if missing:
                raise ValueError(f"no {missing[0]} for {self.pictures} images")
        return self


class Curve(Frozen):
    """One class of one data set, or the mean over several."""

    name: str
    pictures: int | None = Field(None, ge=1, description="all normal ones; None in a mean, where sets differ")
    test_good: int = Field(ge=0, description="test images that measured")
    test_defective: int = Field(ge=0)
    steps: tuple[Step, ...] = Field(min_length=1, description="rising in images")

    @model_validator(mode="after")
    def _rising(self) -> Curve:
        counts = [step.pictures for step in self.steps]
        if counts != sorted(set(counts)):
            raise ValueError(f"the numbers of images {counts} do not rise")
        return self

    def label(self, step: Step) -> str:
        """The number of images, and whether these are all."""
        return f"{step.pictures} (all)" if step.pictures == self.pictures else str(step.pictures)


class FewShot(Frozen):
    """All curves of one call; `mean` gives every set the same weight, at the numbers of images that all have."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: Literal["calibrate.few-shot/1"] = Field(SCHEMA, alias="schema")
    created: datetime
    backbone: str
    adapter: str
    confidence: Annotated[float, Field(gt=0, lt=1)]
    resamples: int = Field(ge=1)
    curves: tuple[Curve, ...] = Field(min_length=1)
    mean: Curve | None = None

    def text(self) -> str:
        """The file's JSON."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"
