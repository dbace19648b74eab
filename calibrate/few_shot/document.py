"""Few-shot curves as a file: `calibrate few-shot --out` writes it, `calibrate report --few-shot` reads it.

Some stored names are older than the words used here: they remain in the file, as aliases.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from calibrate.documents import read_document
from fbclip.features.catalog import Features
from fbclip.frozen import Frozen
from fbclip.peers.config import FBCLIP

SCHEMA: Literal["calibrate.few-shot/1"] = "calibrate.few-shot/1"
MAX_BYTES = 16 << 20
Method = Literal["zero-shot", "memory", "fused", "chosen", "own"]
Measure = Literal["image", "pixel"]
METHODS: tuple[Method, ...] = ("zero-shot", "memory", "fused", "chosen")
"""`chosen` is what --use auto takes. Beside these `own` is the few-shot form of a method that has one."""
OWN: Method = "own"
MEASURES: tuple[Measure, ...] = ("image", "pixel")
InUnit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Estimate(Frozen):
    """AUROC in 0..1. `few_shot.curve` says what low..high covers."""

    values: tuple[InUnit, ...] = Field(min_length=1, description="one a seed; in a mean over sets, one a set")
    mean: InUnit
    low: InUnit
    high: InUnit

    @model_validator(mode="after")
    def _order(self) -> Estimate:
        if self.low > self.high:
            raise ValueError(f"low {self.low} lies above high {self.high}")
        return self


class Step(Frozen):
    """Memories of one number of images. `image` is of the image's number, `pixel` of the map's pixels."""

    model_config = ConfigDict(populate_by_name=True)

    images: int = Field(ge=1, alias="pictures")
    took: dict[str, int] = Field(description="what auto chose -> in how many memories")
    image: dict[Method, Estimate]
    pixel: dict[Method, Estimate] | None = Field(None, description="None without masks")

    @model_validator(mode="after")
    def _whole(self) -> Step:
        for found in (self.image, self.pixel or self.image):
            missing = [method for method in METHODS if method not in found]
            if missing:
                raise ValueError(f"no {missing[0]} for {self.images} images")
        return self


class Curve(Frozen):
    """One class of one data set, or the mean over several."""

    model_config = ConfigDict(populate_by_name=True)

    name: str
    images: int | None = Field(
        None, ge=1, alias="pictures", description="all normal ones; None in a mean, where sets differ"
    )
    test_normal: int = Field(ge=0, alias="test_good", description="test images that measured")
    test_anomalous: int = Field(ge=0, alias="test_defective")
    steps: tuple[Step, ...] = Field(min_length=1, description="rising in images")

    @model_validator(mode="after")
    def _rising(self) -> Curve:
        counts = [step.images for step in self.steps]
        if counts != sorted(set(counts)):
            raise ValueError(f"the numbers of images {counts} do not rise")
        return self

    def label(self, step: Step) -> str:
        """The number of images, and whether these are all."""
        return f"{step.images} (all)" if step.images == self.images else str(step.images)


class FewShot(Frozen):
    """All curves of one call; `mean` gives every set the same weight, at the numbers of images that all have."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: Literal["calibrate.few-shot/1"] = Field(SCHEMA, alias="schema")
    created: datetime
    backbone: str
    method: str = FBCLIP
    adapter: str
    features: Features = "backbone"
    confidence: Annotated[float, Field(gt=0, lt=1)]
    resamples: int = Field(ge=1)
    curves: tuple[Curve, ...] = Field(min_length=1)
    mean: Curve | None = None

    def text(self) -> str:
        """The file's JSON."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def read_few_shot(path: Path) -> FewShot:
    """Raises DataError, one line that names the file."""
    return read_document(path, FewShot, SCHEMA, MAX_BYTES, "calibrate few-shot --out")
