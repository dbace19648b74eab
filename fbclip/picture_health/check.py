"""A line's limits applied to a picture: why it cannot be judged, or nothing. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from fbclip.images.framing import Framing
from fbclip.images.geometry import FloatMap, RgbImage
from fbclip.picture_health.advice import blurred_advice, dimmed_advice, moved_advice, too_bright_advice
from fbclip.picture_health.displacement import Alignment, Displacement
from fbclip.picture_health.grey_view import GreyView, grey_view
from fbclip.picture_health.light import Light, light
from fbclip.picture_health.limits import PictureLimits
from fbclip.picture_health.measures import PictureMeasures
from fbclip.picture_health.sharpness import sharpness


@dataclass(frozen=True)
class PictureFault:
    """A short stable word, and one line of advice."""

    reason: str
    advice: str


@dataclass(frozen=True)
class ExaminedPicture:
    """`fault`: None for a picture like those that were measured."""

    fault: PictureFault | None
    measures: PictureMeasures


class PictureCheck:
    """The limits of one line, ready to be applied; the reference (h,w) float32 goes with `limits.moved`."""

    def __init__(self, limits: PictureLimits, framing: Framing, reference: FloatMap | None) -> None:
        if (limits.moved is None) != (reference is None):
            raise ValueError("limits of `moved` and a reference picture belong together")
        self._limits = limits
        self._framing = framing
        self._reference = reference
        self._alignment: Alignment | None = None

    def fault(self, image: RgbImage) -> PictureFault | None:
        """moved, dimmed, too_bright or blurred; None for a picture like those that were measured."""
        return self.examine(image).fault

    def examine(self, image: RgbImage) -> ExaminedPicture:
        """What is wrong with the picture, and its measures.

        A mask of the line must be of the image's size. What has moved is named first, since it changes the rest
        as well, and blur before light, since it dims small highlights.
        """
        view = grey_view(image, self._framing)
        place, sharp, levels = self._place(view), sharpness(view), light(view)
        fault = self._moved(view, place) or self._blurred(sharp) or self._light(levels)
        measures = PictureMeasures(sharp, levels.mean, None if place is None else place.size)
        return ExaminedPicture(fault, measures)

    def _place(self, view: GreyView) -> Displacement | None:
        reference = self._reference
        if reference is None:
            return None
        if self._alignment is None:
            shape = (reference.shape[0], reference.shape[1])
            self._alignment = Alignment(reference, view.judged_in(shape))
        return self._alignment.of(view)

    def _moved(self, view: GreyView, found: Displacement | None) -> PictureFault | None:
        limits = self._limits.moved
        if limits is None or found is None:
            return None
        if found.size <= limits.size or found.agreement < limits.least_agreement:
            return None
        return PictureFault("moved", moved_advice(found, view.width, view.height))

    def _light(self, found: Light) -> PictureFault | None:
        limits = self._limits
        if found.highlights < limits.least_highlights:
            return PictureFault("dimmed", dimmed_advice(found.highlights, limits.least_highlights))
        if found.mean > limits.most_light:
            return PictureFault("too_bright", too_bright_advice(found.mean, limits.most_light))
        return None

    def _blurred(self, sharp: float) -> PictureFault | None:
        lacking = self._limits.least_sharpness - sharp
        return PictureFault("blurred", blurred_advice(lacking)) if lacking > 0 else None
