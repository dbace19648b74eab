"""What a file holds: one image, or the slices and frames of a scan; and what may be said of where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fbclip.errors import ImageError
from fbclip.frozen import Frozen
from fbclip.images.geometry import RgbImage

Plane = Literal["axial", "coronal", "sagittal"]
WindowOrigin = Literal["file", "head_ct", "percentile", "full", "declared", "colour"]
SeriesOrder = Literal["position", "number", "name"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SliceFacts(Frozen):
    """One slice or frame: its number in its volume, from 1; the values that are black and white, None for colour.

    order: its place among all of the file's, from 0, the empty ones counted. position: in mm along the normal of its
    plane, where the scan says it; volume: of a file with several, from 1. file: which of the files of a series holds
    it, from 0; instance_number: what that file calls it.
    """

    order: int = Field(ge=0)
    number: int = Field(ge=1)
    window: tuple[float, float] | None = None
    origin: WindowOrigin = "full"
    position: float | None = Field(None, allow_inf_nan=False)
    volume: int | None = Field(None, ge=1)
    file: int | None = Field(None, ge=0)
    instance_number: int | None = None


class SliceFault(Frozen):
    """A file of a series, from 0, that is none of its slices, and the stable word for why. instead: the file that is
    one, under the same identifier."""

    file: int = Field(ge=0)
    reason: str = Field(pattern=r"^[a-z0-9_]{1,40}$")
    instead: int | None = Field(None, ge=0)


class SeriesFacts(Frozen):
    """What is known of a volume whose slices are files of their own. same_position: so many lie where another does;
    gaps: places where the next one is farther away than elsewhere, so that one may be missing."""

    ordered_by: SeriesOrder
    same_position: int = Field(0, ge=0)
    gaps: int = Field(0, ge=0)
    faults: tuple[SliceFault, ...] = ()


class ScanFacts(Frozen):
    """What is known of a scan: numbers and fixed words only, so that nothing in it can name a patient.

    slices: those to be judged, in order; total: how many the file has, with the empty ones. series, instance: digests
    of identifiers, to be compared while the agent runs and never stored. files: of a volume that several files hold.
    """

    format: Literal["dicom", "nifti"]
    total: int = Field(ge=1)
    slices: tuple[SliceFacts, ...] = Field(min_length=1)
    plane: Plane | None = None
    series: Digest | None = None
    instance: Digest | None = None
    files: SeriesFacts | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """pixels: (N,H,W) grey or (N,H,W,3) RGB, uint8, one entry a slice; scan: None for an image that is no scan.

    unused_bits: so many of the topmost of 16 bits are not set in any pixel.
    """

    pixels: NDArray[np.uint8]
    scan: ScanFacts | None = None
    unused_bits: int = 0

    def __len__(self) -> int:
        return len(self.pixels)

    def image(self, index: int) -> RgbImage:
        """(H,W,3) RGB; of grey slices a copy."""
        part = self.pixels[index]
        return part if part.ndim == 3 else np.repeat(part[:, :, None], 3, axis=2)

    def at(self, order: int) -> int | None:
        """The index of the slice with this place in the file; None for an empty one."""
        if self.scan is None:
            return order if order < len(self) else None
        return next((i for i, facts in enumerate(self.scan.slices) if facts.order == order), None)

    def of_file(self, file: int) -> int | None:
        """The index of the slice that this file of a series holds; None for an empty one, or one that has a fault."""
        slices = () if self.scan is None else self.scan.slices
        return next((i for i, facts in enumerate(slices) if facts.file == file), None)

    def only(self) -> RgbImage:
        """The image of a file that holds one; raises ImageError `several_slices`."""
        if len(self) > 1:
            raise ImageError("several_slices", f"{len(self)} slices where one image is needed")
        return self.image(0)

    def about(self, index: int) -> dict[str, object] | None:
        """What an inspection records of a slice of a scan: no identifier, no name."""
        if self.scan is None:
            return None
        facts = self.scan.slices[index]
        about: dict[str, object] = {
            "format": self.scan.format,
            "slice": facts.number,
            "slices": self.scan.total,
            "judged": len(self),
            "volume": facts.volume,
            "plane": self.scan.plane,
            "window": None if facts.window is None else list(facts.window),
            "window_from": facts.origin,
        }
        if self.scan.files is not None:
            about |= {
                "position": facts.position,
                "instance_number": facts.instance_number,
                "ordered_by": self.scan.files.ordered_by,
                "same_position": self.scan.files.same_position,
                "gaps": self.scan.files.gaps,
            }
        return about
