"""How much light a picture has: what `dimmed` and `too_bright` compare. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fbclip.picture_health.grey_view import GreyView

_LIGHT_PARTS = 0.98


@dataclass(frozen=True)
class Light:
    """Grey levels 0..255. highlights: 98% of the picture is darker; mean: of all of it.

    Too little light lowers the highlights, however much of the picture is dark by nature. Too much cannot raise them
    above white, so that is looked for in the mean.
    """

    highlights: float
    mean: float


def light(view: GreyView) -> Light:
    """Of what is judged."""
    grey = view.grey if view.judged is None else view.grey[view.judged]
    levels = np.bincount(np.asarray(grey, np.uint8).ravel(), minlength=256)
    highest = int(np.searchsorted(np.cumsum(levels), _LIGHT_PARTS * levels.sum()))
    return Light(float(highest), float(grey.mean(dtype=np.float64)))
