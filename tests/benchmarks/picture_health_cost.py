"""What picture health costs a frame: `python -m tests.benchmarks.picture_health_cost`."""

from __future__ import annotations

import time

import numpy as np
import typer

from fbclip.images.framing import Framing
from fbclip.picture_health.check import PictureCheck
from fbclip.picture_health.displacement import Alignment
from fbclip.picture_health.grey_view import grey_view, reference_shape
from fbclip.picture_health.light import light
from fbclip.picture_health.limits import MovedLimits, PictureLimits
from fbclip.picture_health.repeats import is_repeat
from fbclip.picture_health.sharpness import sharpness

ROUNDS = 30
SIZES = ((320, 240), (1280, 720), (1920, 1080), (3840, 2160))


def milliseconds(action) -> float:
    """The median of ROUNDS runs."""
    action()
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return 1e3 * float(np.median(taken))


def costs(width: int, height: int) -> list[float]:
    """Of one frame: all checks, then view, sharpness, light, place, and the comparison with an equal frame."""
    image = np.random.default_rng(1).integers(60, 200, (height, width, 3), dtype=np.uint8)
    same, view = image.copy(), grey_view(image, Framing())
    reference = view.resized(reference_shape(view, 96))
    moved = MovedLimits(file="r.png", sha256="0" * 64, size=0.02, least_agreement=0.4)
    limits = PictureLimits(
        n_units=300, bound=0.03, confidence=0.95, least_sharpness=-9, least_highlights=1, most_light=300, moved=moved
    )
    check, alignment = PictureCheck(limits, Framing(), reference), Alignment(reference)
    actions = (
        lambda: check.fault(image),
        lambda: grey_view(image, Framing()),
        lambda: sharpness(view),
        lambda: light(view),
        lambda: alignment.of(view),
        lambda: is_repeat(image, same),
    )
    return [milliseconds(action) for action in actions]


if __name__ == "__main__":
    typer.echo("milliseconds       all    view   sharp   light   place  repeat")
    for size in SIZES:
        typer.echo(f"{size[0]:5}x{size[1]:<6}" + "".join(f"{cost:8.2f}" for cost in costs(*size)))
