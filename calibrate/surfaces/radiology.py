"""Scan families that look through the body in grey: slices, radiographs, ultrasound.

Each maker takes (H,W) and a generator and gives (H,W,3) float32, about 0..1; subjects differ in pose, size and
contrast, and recordings in gain, noise and uneven field.
"""

from __future__ import annotations

import cv2
import numpy as np

from calibrate.surfaces.fields import Array, Maker, Size, fractal, log_uniform, ramp, smooth, subject_axes, unit, white
from calibrate.surfaces.inks import scale, write


def grey(field: Array, rng: np.random.Generator, note: float = 0.15) -> Array:
    """Field (H,W) -> grey image with gamma, noise and at times small letters in a corner."""
    field = np.clip(field, 0, 1) ** np.float32(rng.uniform(0.75, 1.3)) * np.float32(rng.uniform(0.8, 1.05))
    field = field + np.float32(rng.uniform(0.003, 0.03)) * white((field.shape[0], field.shape[1]), rng)
    image = np.repeat(field[..., None], 3, axis=2).astype(np.float32)
    if rng.random() < note:
        side = min(field.shape)
        at = (side // 40 + 1, int(field.shape[0] * rng.choice([0.06, 0.97])))
        write(image, "".join(rng.choice(list("ABLRX 0123456789"), 6)), at, side / 700 + 0.1, (0.8,) * 3)
    return image


def scan(size: Size, rng: np.random.Generator) -> Array:
    """An axial head-like slice: rim, folded cortex, midline, paired cavities."""
    s = scale(size)
    x, y = subject_axes(size, rng)
    x = x / rng.uniform(0.58, 0.78)
    y = y / rng.uniform(0.75, 0.92)
    y = y * (1 + 0.08 * y * np.sign(rng.normal()))
    wave = 0.02 * smooth(size, 60 * s, rng)
    radius = np.hypot(x, y) + wave
    mirrored = fractal(size, rng, log_uniform(rng, 16, 34) * s, 0.5)
    # Subjects are nearly, not fully, symmetric.
    mirrored = 0.6 * mirrored + 0.4 * mirrored[:, ::-1]
    sulci = 1 - np.clip(np.abs(mirrored) * rng.uniform(2, 4), 0, 1)
    depth = rng.uniform(0.62, 0.82)
    cortex = ramp(radius - depth + 0.11 * mirrored, 0.06)
    white_matter, grey_matter = rng.uniform(0.35, 0.75), rng.uniform(0.25, 0.7)
    fluid = float(rng.choice([0.06, 0.12, 0.9], p=[0.5, 0.3, 0.2]))
    brain = white_matter + cortex * (grey_matter - white_matter)
    folds = sulci * ramp(radius - depth * rng.uniform(0.75, 1.0), 0.2) * rng.uniform(0.2, 0.8)
    brain = brain + folds * (fluid - brain)
    # Two mirrored horns: a curved ridge on each side of the middle.
    wide, long = log_uniform(rng, 0.025, 0.11), rng.uniform(0.15, 0.45)
    shift, splay = rng.normal(0, 0.12), rng.uniform(0.25, 0.7)
    centre = 0.06 + wide + splay * (y - shift) ** 2
    horn = 1 - np.abs(np.abs(x + 0.3 * wave) - centre) / wide - np.maximum(0, np.abs(y - shift) - long) * 12
    if rng.random() < 0.85:
        brain = brain + ramp(horn - 0.2, 0.8) * (fluid - brain)
    # Deep grey nuclei beside the horns.
    deep = ramp(0.15 - np.hypot((np.abs(x) - 0.27) * 1.5, y - shift), 0.08)
    brain = brain + 0.6 * deep * (grey_matter - brain)
    middle = np.clip(1 - np.abs(x + 0.4 * wave) / 0.012, 0, 1) * (np.abs(y - shift) > long * rng.uniform(0.6, 1.3))
    brain = brain + 0.7 * middle * (fluid - brain)
    brain = brain + rng.uniform(0.005, 0.035) * fractal(size, rng, 9 * s + 2, 0.7)
    inside = ramp(0.93 - radius, 0.03)
    field = inside * brain
    kind = rng.random()
    if kind < 0.7:
        rim, outer = rng.uniform(0.3, 1.0), 0.97 + (rng.uniform(0.02, 0.1))
        shell = ramp(radius - 0.955, 0.03) * ramp(outer - radius, 0.03)
        field = np.maximum(field, shell * rim)
        if kind < 0.35:
            scalp = ramp(radius - outer - 0.02, 0.03) * ramp(outer + rng.uniform(0.06, 0.12) - radius, 0.03)
            field = np.maximum(field, scalp * rng.uniform(0.2, 0.8) * (1 + 0.2 * smooth(size, 14 * s + 2, rng)))
    field = field * (1 + rng.uniform(0, 0.15) * smooth(size, 200 * s, rng))
    return grey(cv2.GaussianBlur(field.astype(np.float32), (0, 0), rng.uniform(0.5, 1.5) * max(s, 0.5)), rng)


def radiograph(size: Size, rng: np.random.Generator) -> Array:
    """A chest- or limb-like radiograph: soft tissue with bones as soft bright shapes."""
    s = scale(size)
    x, y = subject_axes(size, rng)
    if rng.random() < 0.55:
        bend = 0.05 * smooth(size, 100 * s, rng)
        body = ramp(rng.uniform(0.85, 1.2) - np.abs(x) - 0.15 * y**2 + bend, 0.15)
        field = rng.uniform(0.35, 0.6) * body * (0.85 + 0.25 * ramp(y - 0.5, 0.7))
        lung_x, lung_y = rng.uniform(0.38, 0.48), rng.uniform(0.55, 0.75)
        lung = ramp(1 - np.hypot((np.abs(x + bend) - 0.46) / (lung_x * 0.8), (y + 0.08) / lung_y) + bend, 0.3)
        field -= lung * rng.uniform(0.2, 0.4) * body
        slope, gap = rng.uniform(0.2, 0.7), rng.uniform(0.13, 0.2)
        phase = (y - slope * (np.abs(x) - 0.45) ** 2 * 1.5 + slope * 0.5 * np.abs(x)) / gap + rng.uniform(0, 1)
        ribs = np.clip(1 - np.abs(phase % 1 - 0.5) * rng.uniform(3.2, 4.5), 0, 1) * (0.5 + 0.5 * lung)
        field += body * ribs * rng.uniform(0.04, 0.14) * ramp(0.75 - y, 0.2)
        spine = np.clip(1 - np.abs(x) / rng.uniform(0.1, 0.16), 0, 1)
        field += spine * (0.22 + 0.04 * np.sin(y * rng.uniform(25, 40)))
        heart = ramp(1 - np.hypot((x - 0.14) / rng.uniform(0.22, 0.36), (y - 0.3) / rng.uniform(0.25, 0.36)), 0.4)
        field += heart * rng.uniform(0.12, 0.25)
        vessels = np.clip(1 - np.abs(fractal(size, rng, 30 * s + 4, 0.6)) * 3, 0, 1)
        field += lung * vessels * rng.uniform(0.02, 0.08)
    else:
        turn = rng.normal(0, 0.25)
        across, along = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        joint = rng.uniform(-0.4, 0.4)
        flare = np.exp(-(((along - joint) / rng.uniform(0.15, 0.3)) ** 2))
        flesh = ramp(rng.uniform(0.4, 0.6) + 0.08 * flare + 0.02 * smooth(size, 80 * s, rng) - np.abs(across), 0.12)
        field = rng.uniform(0.0, 0.08) + rng.uniform(0.2, 0.4) * flesh
        count = int(rng.integers(1, 3))
        for k in range(count):
            middle = (k - (count - 1) / 2) * 0.4 + 0.03 * np.sin(along * 3)
            wide = (0.12 + rng.uniform(0.06, 0.14) * flare) * (1.3 if count == 1 else 0.85)
            t = np.abs(across - middle) / wide
            # Dense at the sides and hollow within, as a tube is seen through.
            bone = ramp(1 - t, 0.1) * (0.55 + 0.45 * np.clip(t, 0, 1) ** 4)
            gap = 1 - 0.8 * np.exp(-(((along - joint - 0.05 * across**2) / 0.025) ** 2))
            trabecular = 1 + 0.12 * flare * fractal(size, rng, 8 * s + 2, 0.8)
            field = field + bone * gap * rng.uniform(0.3, 0.5) * trabecular
    soft = cv2.GaussianBlur(np.asarray(field, np.float32), (0, 0), rng.uniform(0.6, 1.8) * max(s, 0.5))
    return grey(unit(np.asarray(soft)) * rng.uniform(0.75, 1), rng, 0.35)


def ultrasound(size: Size, rng: np.random.Generator) -> Array:
    """A fan of speckled tissue layers on black."""
    height, width = size
    s = scale(size)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    top = -rng.uniform(0.02, 0.35) * height
    x0 = width * (0.5 + rng.normal(0, 0.02))
    radius, turn = np.hypot(x - x0, y - top) / height, np.arctan2(x - x0, y - top)
    speckle = white(size, rng) ** 2 + white(size, rng) ** 2
    speckle = np.sqrt(cv2.GaussianBlur(speckle, (0, 0), 1.1 * max(s, 0.4), sigmaY=0.6 * max(s, 0.4)))
    bend = 0.15 * smooth(size, 120 * s, rng)
    layers = np.sin((radius + 0.15 * bend) * rng.uniform(12, 40) + rng.uniform(0, 6.28))
    tissue_level = 0.35 + 0.12 * layers + 0.12 * fractal(size, rng, 60 * s, 0.5)
    dark = ramp(smooth(size, rng.uniform(70, 140) * s, rng) - rng.uniform(0.5, 1.0), 0.2)
    field = speckle * tissue_level * (1 - 0.85 * dark) * np.exp(-rng.uniform(0, 1.2) * radius) * rng.uniform(0.7, 1.1)
    reach, near = rng.uniform(0.45, 0.85), -top / height + rng.uniform(0.02, 0.12)
    far = -top / height + rng.uniform(0.85, 0.97)
    if rng.random() < 0.75:
        field = field * ramp(reach - np.abs(turn), 0.02) * ramp(radius - near, 0.01) * ramp(far - radius, 0.01)
    return grey(field + 0.01, rng, 0.5)


MAKERS: dict[str, Maker] = {
    "scanned": scan,
    "x-ray": radiograph,
    "ultrasound": ultrasound,
}
