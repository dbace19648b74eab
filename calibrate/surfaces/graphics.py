"""Drawn families: conductor layouts, labels, dials, line drawings, halftones.

Each maker takes (H,W) and a generator and gives (H,W,3) float32, about 0..1. Parts are drawn on an 8-bit plane
and coloured afterwards where that is faster.
"""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.surfaces.fields import Array, Maker, Size, coordinates, fractal, log_uniform, mix, unit
from calibrate.surfaces.inks import finish, ink, muted_colour, scale, two_inks, write

CHARACTERS = list("ABCDEFGHJKLMNPRSTUVWXYZ0123456789 -./")


def random_text(rng: np.random.Generator, low: int, high: int) -> str:
    """`low` to `high` - 1 capitals and figures."""
    return "".join(rng.choice(CHARACTERS, int(rng.integers(low, high))))


def bent(a: tuple[int, int], b: tuple[int, int]) -> Array:
    """From a to b as routers draw it: straight, then at 45 degrees. (3,2) int32."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    run = min(abs(dx), abs(dy))
    middle = (b[0] - int(np.sign(dx)) * run, b[1] - int(np.sign(dy)) * run)
    return np.array([a, middle, b], np.int32)


def layout(size: Size, rng: np.random.Generator) -> Array:
    """Conductor artwork: planes, buses of parallel traces with pads, fine-pitch groups."""
    plane = np.zeros(size, np.uint8)
    pitch = max(4, round(log_uniform(rng, 7, 30) * scale(size)))
    line = max(1, round(pitch * rng.uniform(0.2, 0.5)))

    def spot() -> tuple[int, int]:
        return int(rng.integers(-1, size[1] // pitch + 2)) * pitch, int(rng.integers(-1, size[0] // pitch + 2)) * pitch

    for _ in range(int(rng.integers(0, 3))):
        x, y = spot()
        cv2.rectangle(plane, (x, y), (x + 5 * pitch, y + int(rng.integers(3, 10)) * pitch), 255, -1)
    vertical = rng.random() < 0.5
    for _ in range(int(rng.integers(4, 10))):
        x, y = spot()
        reach, shift = int(rng.integers(3, 20)) * pitch, int(rng.integers(-5, 6)) * pitch
        for k in range(int(rng.integers(1, 8))):
            a = (x + k * pitch, y) if vertical else (x, y + k * pitch)
            b = (a[0] + shift, a[1] + reach) if vertical else (a[0] + reach, a[1] + shift)
            # A clearance first, so that neighbours never touch.
            cv2.polylines(plane, [bent(a, b)], False, 0, line + max(2, pitch // 2))
            cv2.polylines(plane, [bent(a, b)], False, 255, line)
            for end in (a, b):
                cv2.circle(plane, end, max(2, round(pitch * 0.36)), 255, -1)
                cv2.circle(plane, end, max(1, round(pitch * 0.14)), 0, -1)
    for _ in range(int(rng.integers(0, 4))):
        (x, y), count = spot(), int(rng.integers(4, 14))
        wide, long = max(1, pitch // 3), round(pitch * rng.uniform(0.8, 2))
        cv2.rectangle(plane, (x - wide, y - wide), (x + count * 2 * wide, y + 2 * long + pitch), 0, -1)
        for k in range(2 * count):
            left, top = x + 2 * (k // 2) * wide, y + (k % 2) * (long + pitch)
            cv2.rectangle(plane, (left, top), (left + wide - 1, top + long), 255, -1)
    field: Array = plane.astype(np.float32) / 255
    if rng.random() < 0.7:
        field = np.asarray(cv2.GaussianBlur(field, (0, 0), rng.uniform(0.4, 1.4)), np.float32)
    if rng.random() < 0.5:
        low, high = np.full(3, rng.uniform(0, 0.1), np.float32), np.full(3, rng.uniform(0.85, 1), np.float32)
        return mix(np.asarray(field if rng.random() < 0.5 else 1 - field), low, high)
    low, high = two_inks(rng)
    return finish(mix(field, low, high), rng)


def label(size: Size, rng: np.random.Generator) -> Array:
    """A printed label: text of several sizes, boxes, bar codes, dot codes and marks."""
    height, width = size
    s = scale(size)
    light, dark = two_inks(rng, 0.35)
    second = ink(muted_colour(rng, 0.1, 0.8)) if rng.random() < 0.4 else ink(dark)
    image = np.ones((*size, 3), np.float32) * light
    y, x = int(rng.uniform(4, 22) * s), int(rng.uniform(6, 24) * s)
    while y < height:
        row = int(log_uniform(rng, 14, 80) * s) + 3
        kind, wide = rng.random(), int(width * rng.uniform(0.3, 0.9))
        if kind < 0.5 or row < 20 * s:
            thick = max(1, round(row / 18 * rng.uniform(0.5, 1.4)))
            write(image, random_text(rng, 4, 26), (x, y + int(row * 0.8)), row / 32, ink(dark), thick)
        elif kind < 0.8:
            # One row of random modules makes a bar code, a square of them a dot code.
            rows = 1 if kind < 0.65 else 16
            code = rng.integers(0, 2, (rows, 60 if rows == 1 else 16)).astype(np.float32)
            block = cv2.resize(code, (wide if rows == 1 else row, row), interpolation=cv2.INTER_NEAREST)
            block = block[: height - y, : width - x]
            image[y : y + block.shape[0], x : x + block.shape[1]] = mix(block, light, dark)
        elif kind < 0.9:
            turn = np.linspace(0, 2 * np.pi, int(rng.integers(3, 9)), endpoint=False) + rng.uniform(0, 6.28)
            points = np.stack((np.cos(turn), np.sin(turn)), 1) * row * 0.35 + (x + row / 2, y + row / 2)
            cv2.circle(image, (x + row // 2, y + row // 2), row // 2, second, max(1, row // 12), cv2.LINE_AA)
            cv2.fillPoly(image, [np.round(points).astype(np.int32)], second, cv2.LINE_AA)
        else:
            cv2.rectangle(image, (x, y), (x + wide, y + row), second, max(1, round(2 * s)))
            write(image, random_text(rng, 2, 9), (x + 4, y + int(row * 0.7)), row / 45, ink(dark))
        y += row + int(rng.uniform(4, 18) * s) + 1
    return finish(image, rng)


def dial(size: Size, rng: np.random.Generator) -> Array:
    """A round gauge with ticks, figures and a hand."""
    side = min(size)
    back, front = two_inks(rng, 0.35)
    image, shade = np.ones((*size, 3), np.float32) * back, ink(front)
    major, minor, step = int(rng.integers(4, 13)), int(rng.choice([2, 4, 5])), int(rng.choice([1, 2, 5, 10]))
    middle = np.array([size[1] / 2, size[0] / 2]) + rng.normal(0, 0.02, 2) * side
    centre, radius = (int(middle[0]), int(middle[1])), side * rng.uniform(0.34, 0.47)
    rim = max(1, int(side * rng.uniform(0.004, 0.03)))
    cv2.circle(image, centre, int(radius * 1.04), shade, rim, cv2.LINE_AA)
    start, sweep = rng.uniform(0.5, 0.9) * np.pi, rng.uniform(1.1, 1.9) * np.pi
    thick = max(1, round(side / 200 * rng.uniform(0.6, 1.8)))
    for k in range(major * minor + 1):
        turn = start + sweep * k / (major * minor)
        ray = radius * np.array([np.cos(turn), np.sin(turn)])
        ends = np.round([middle + (0.84 if k % minor == 0 else 0.92) * ray, middle + 0.98 * ray]).astype(np.int32)
        cv2.polylines(image, [ends], False, shade, thick + (k % minor == 0), cv2.LINE_AA)
        if k % minor == 0:
            text, at = str(k // minor * step), middle + 0.7 * ray
            write(image, text, (int(at[0] - side * 0.015 * len(text)), int(at[1] + side * 0.015)), side / 560, shade)
    turn = start + sweep * rng.uniform(0, 1)
    tip = (int(centre[0] + 0.8 * radius * np.cos(turn)), int(centre[1] + 0.8 * radius * np.sin(turn)))
    hand = ink(muted_colour(rng, 0.1, 0.9) if rng.random() < 0.5 else front)
    cv2.line(image, centre, tip, hand, max(2, side // 110), cv2.LINE_AA)
    cv2.circle(image, centre, max(3, int(radius * rng.uniform(0.04, 0.14))), hand, -1, cv2.LINE_AA)
    return finish(image, rng)


def drawing(size: Size, rng: np.random.Generator) -> Array:
    """A line drawing: boxes, circles with centre lines, hatching."""
    height, width = size
    s = scale(size)
    light, dark = two_inks(rng, 0.35)
    plane = np.zeros(size, np.uint8)
    thin = max(1, round(s * rng.uniform(0.7, 1.6)))
    u, _ = coordinates(size, rng.choice([0.785, -0.785]))
    hatch = ((u % max(4.0, rng.uniform(5, 16) * s) < thin) * 255).astype(np.uint8)
    for _ in range(int(rng.integers(4, 10))):
        x, y = int(rng.uniform(0, 0.85) * width), int(rng.uniform(0, 0.85) * height)
        w, h = int(rng.uniform(0.1, 0.5) * width) + 4, int(rng.uniform(0.1, 0.5) * height) + 4
        if rng.random() < 0.4:
            plane[y : y + h, x : x + w] = np.maximum(plane[y : y + h, x : x + w], hatch[y : y + h, x : x + w])
        if rng.random() < 0.5:
            cv2.rectangle(plane, (x, y), (x + w, y + h), 255, thin + 1)
        else:
            r = min(w, h) // 2
            cv2.circle(plane, (x, y), r, 255, thin + 1, cv2.LINE_AA)
            cv2.line(plane, (x - r - 6, y), (x + r + 6, y), 160, thin)
            cv2.line(plane, (x, y - r - 6), (x, y + r + 6), 160, thin)
    return finish(mix(plane.astype(np.float32) / 255, light, dark), rng)


def halftone(size: Size, rng: np.random.Generator) -> Array:
    """An image in print: dots of a screen that grow with the tone."""
    period = log_uniform(rng, 3, 14)
    u, v = coordinates(size, rng.uniform(0, np.pi / 2))
    screen = np.cos(u * (2 * np.pi / period)) * np.cos(v * (2 * np.pi / period))
    tone = unit(fractal(size, rng, log_uniform(rng, 40, 200) * scale(size), 0.4)) * 1.6 - 0.8
    dots = np.clip((screen - tone * rng.uniform(0.4, 1)) * (period / 4) + 0.5, 0, 1)
    light, dark = two_inks(rng)
    return finish(mix(dots, light, dark), rng)


MAKERS: dict[str, Maker] = {
    "layout": layout,
    "label": label,
    "dial": dial,
    "drawing": drawing,
    "halftone": halftone,
}
