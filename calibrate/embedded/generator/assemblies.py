"""Normal inner structure of objects, drawn in place: rings, holes, labels, pins, inclusions, seams; no defects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from calibrate.surfaces.fields import Array
from calibrate.surfaces.inks import Ink, colour, ink, write


@dataclass(frozen=True, eq=False)
class Body:
    """An outline `points` (n,2) of x, y, its middle (2,) and the mean distance to it, in px."""

    points: Array
    centre: Array
    reach: float


def _ink(rng: np.random.Generator) -> Ink:
    return ink(colour(rng))


def _points(points: Array) -> Array:
    return np.round(points * 16).astype(np.int32)


def rings(image: Array, body: Body, rng: np.random.Generator) -> None:
    """Concentric discs and circles, as on caps, lids and cut cables."""
    at = (int(body.centre[0]), int(body.centre[1]))
    for share in sorted(rng.uniform(0.15, 0.92, int(rng.integers(1, 5))), reverse=True):
        width = -1 if rng.random() < 0.4 else int(rng.integers(1, max(2, int(0.06 * body.reach) + 2)))
        cv2.circle(image, at, max(2, int(share * body.reach)), _ink(rng), width, cv2.LINE_AA)


def ports(image: Array, body: Body, rng: np.random.Generator) -> None:
    """Equal holes or studs on a circle, perhaps with one in the middle."""
    count, out, face, rim = int(rng.integers(2, 13)), rng.uniform(0.4, 0.78), _ink(rng), _ink(rng)
    radius = max(2, int(body.reach * min(rng.uniform(0.05, 0.16), 2.2 * out / count)))
    first = rng.uniform(0, 6.28)
    spots = [
        body.centre + out * body.reach * np.array([np.cos(a), np.sin(a)])
        for a in first + np.arange(count) * 6.2832 / count
    ]
    for at in [*spots, body.centre] if rng.random() < 0.4 else spots:
        cv2.circle(image, (int(at[0]), int(at[1])), radius + 1, rim, -1, cv2.LINE_AA)
        cv2.circle(image, (int(at[0]), int(at[1])), radius, face, -1, cv2.LINE_AA)


def label(image: Array, body: Body, rng: np.random.Generator) -> None:
    """A printed field with text."""
    half = body.reach * np.array([rng.uniform(0.3, 0.7), rng.uniform(0.1, 0.35)])
    low, high = (body.centre - half).astype(int), (body.centre + half).astype(int)
    if rng.random() < 0.6:
        cv2.rectangle(image, (int(low[0]), int(low[1])), (int(high[0]), int(high[1])), _ink(rng), -1)
    shade, scale = _ink(rng), float(max(0.3, half[1] / 40))
    for line in range(int(rng.integers(1, 4))):
        text = "".join(rng.choice(list("ABCDEFHKMNPRTXYZ0123456789"), int(rng.integers(2, 8))))
        write(image, text, (int(low[0]) + 2, int(low[1] + (line + 1) * 26 * scale)), scale, shade)


def inset(image: Array, body: Body, rng: np.random.Generator) -> None:
    """The outline again, smaller: as a line or as a face of another colour."""
    inner = (body.points - body.centre) * rng.uniform(0.3, 0.9) + body.centre
    if rng.random() < 0.5:
        cv2.polylines(image, [_points(inner)], True, _ink(rng), int(rng.integers(1, 4)), cv2.LINE_AA, 4)
    else:
        cv2.fillPoly(image, [_points(inner)], _ink(rng), cv2.LINE_AA, 4)


def bars(image: Array, body: Body, rng: np.random.Generator) -> None:
    """Equal bars side by side: pins, ribs, slots, teeth of a zip."""
    count, face = int(rng.integers(3, 16)), _ink(rng)
    across = rng.random() < 0.5
    span, long = body.reach * rng.uniform(0.8, 1.3), body.reach * rng.uniform(0.08, 0.6)
    wide = max(1.0, span / count * rng.uniform(0.25, 0.7))
    for k in range(count):
        at = (k + 0.5) / count * span - span / 2
        box = np.array([[at - wide / 2, -long], [at + wide / 2, -long], [at + wide / 2, long], [at - wide / 2, long]])
        box = box[:, ::-1] if across else box
        cv2.fillPoly(image, [_points(box + body.centre)], face, cv2.LINE_AA, 4)


def inclusions(image: Array, body: Body, rng: np.random.Generator) -> None:
    """Chips, seeds or pores spread over the whole body, alike and in number: they belong to the product."""
    base, size = np.array(_ink(rng)), max(1.5, body.reach * rng.uniform(0.015, 0.07))
    for _ in range(int(rng.integers(8, 50))):
        at = body.centre + body.reach * np.sqrt(rng.random()) * _turn(rng)
        axes = (max(1, round(size * rng.uniform(0.6, 1.5))), max(1, round(size * rng.uniform(0.5, 1.0))))
        shade = ink(base * rng.uniform(0.8, 1.15))
        cv2.ellipse(image, (int(at[0]), int(at[1])), axes, rng.uniform(0, 180), 0, 360, shade, -1, cv2.LINE_AA)


def seam(image: Array, body: Body, rng: np.random.Generator) -> None:
    """A straight joint through the middle, or two halves of different colour."""
    turn = _turn(rng)
    normal = np.array([-turn[1], turn[0]])
    if rng.random() < 0.5:
        ends = [body.centre - 2 * body.reach * turn, body.centre + 2 * body.reach * turn]
        half = np.array([ends[0], ends[1], ends[1] + 3 * body.reach * normal, ends[0] + 3 * body.reach * normal])
        cv2.fillPoly(image, [_points(half)], _ink(rng), cv2.LINE_AA, 4)
        return
    joint = _points(np.array([body.centre - 2 * body.reach * turn, body.centre + 2 * body.reach * turn]))
    cv2.polylines(image, [joint], False, _ink(rng), int(rng.integers(1, 4)), cv2.LINE_AA, 4)


def dots(image: Array, body: Body, rng: np.random.Generator) -> None:
    """A regular field of dots: bristles, contacts, perforation."""
    step = max(4.0, body.reach * rng.uniform(0.1, 0.3))
    radius, face, jitter = max(1, int(step * rng.uniform(0.2, 0.42))), _ink(rng), step * rng.uniform(0, 0.08)
    count = int(body.reach * rng.uniform(0.5, 0.9) / step)
    for i in range(-count, count + 1):
        for j in range(-count, count + 1):
            at = body.centre + step * np.array([i, j]) + rng.normal(0, jitter, 2)
            cv2.circle(image, (int(at[0]), int(at[1])), radius, face, -1, cv2.LINE_AA)


def _turn(rng: np.random.Generator) -> Array:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


Part = Callable[[Array, Body, np.random.Generator], None]
PARTS: tuple[Part, ...] = (rings, ports, label, inset, bars, inclusions, seam, dots)


def furnish(image: Array, points: Array, rng: np.random.Generator) -> None:
    """Draw up to three kinds of parts into float32 (H,W,3), within the outline `points` (n,2) of x, y."""
    centre = points.mean(axis=0)
    body = Body(points, centre, float(np.linalg.norm(points - centre, axis=1).mean()))
    for index in rng.choice(len(PARTS), int(rng.integers(0, 4)), replace=False):
        PARTS[int(index)](image, body, rng)
