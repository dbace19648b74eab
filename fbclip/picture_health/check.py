"""A line's limits applied to a picture: why it cannot be judged, or nothing. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from fbclip.images.framing import Framing
from fbclip.images.geometry import FloatMap, RgbImage
from fbclip.picture_health.advice import blurred_advice, dimmed_advice, moved_advice, too_bright_advice
from fbclip.picture_health.displacement import Alignment
from fbclip.picture_health.grey_view import GreyView, grey_view
from fbclip.picture_health.light import light
from fbclip.picture_health.limits import PictureLimits
from fbclip.picture_health.sharpness import sharpness


@dataclass(frozen=True)
class PictureFault:
    """A short stable word, and one line of advice."""

    reason: str
    advice: str


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
        """moved, dimmed, too_bright or blurred; None for a picture like those that were measured.

        A mask of the line must be of the image's size. What has moved is named first, since it changes the rest
        as well, and blur before light, since it dims small highlights.
        """
        view = grey_view(image, self._framing)
        return self._moved(view) or self._blurred(view) or self._light(view)

    def _moved(self, view: GreyView) -> PictureFault | None:
        limits, reference = self._limits.moved, self._reference
        if limits is None or reference is None:
            return None
        if self._alignment is None:
            shape = (reference.shape[0], reference.shape[1])
            self._alignment = Alignment(reference, view.judged_in(shape))
        found = self._alignment.of(view)
        if found.size <= limits.size or found.agreement < limits.least_agreement:
            return None
        return PictureFault("moved", moved_advice(found, view.width, view.height))

    def _light(self, view: GreyView) -> PictureFault | None:
        found, limits = light(view), self._limits
        if found.highlights < limits.least_highlights:
            return PictureFault("dimmed", dimmed_advice(found.highlights, limits.least_highlights))
        if found.mean > limits.most_light:
            return PictureFault("too_bright", too_bright_advice(found.mean, limits.most_light))
        return None

    def _blurred(self, view: GreyView) -> PictureFault | None:
        lacking = self._limits.least_sharpness - sharpness(view)
        return PictureFault("blurred", blurred_advice(lacking)) if lacking > 0 else None
