"""Writes the demo: the belt's video, the inbox's images, and normal units to calibrate on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from calibrate.embedded.generator.scene import Scene
from calibrate.embedded.samples.products import SAMPLE_DEFECTS, belt_part, inbox_part
from calibrate.surfaces.fields import Array

BELT_PARTS, FRAMES_A_PART, FPS = 40, 5, 5
_ANOMALOUS_EVERY = 6
_INBOX_NORMAL, _INBOX_ANOMALOUS = 6, 4


def write_video(path: Path, frames: Sequence[Array], fps: int = FPS) -> None:
    """mp4v file of uint8 RGB frames (H,W,3) of one size; raises OSError when the codec is not there."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    if not writer.isOpened():
        raise OSError(f"{path}: this OpenCV cannot write mp4v")
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def read_video(path: Path) -> list[Array]:
    """All frames as uint8 RGB (H,W,3); raises OSError when there is none."""
    reader = cv2.VideoCapture(str(path))
    frames: list[Array] = []
    while True:
        ok, frame = reader.read()
        if not ok:
            break
        frames.append(np.asarray(frame)[..., ::-1].copy())
    reader.release()
    if not frames:
        raise OSError(f"{path}: no frame can be read")
    return frames


def part_frames(scene: Scene, count: int, rng: np.random.Generator) -> list[Array]:
    """Frames of one part as it passes: shifts of a pixel or two and fresh noise."""
    height, width = scene.image.shape[:2]
    frames = []
    for k in range(count):
        shift = np.array([[1, 0, k - count // 2 + rng.normal(0, 0.2)], [0, 1, rng.normal(0, 0.3)]], np.float32)
        moved = cv2.warpAffine(scene.image, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
        noisy = moved + 1.2 * rng.standard_normal((height, width, 1), dtype=np.float32)
        frames.append(np.clip(noisy + 0.5, 0, 255).astype(np.uint8))
    return frames


def belt_defect(part: int) -> str | None:
    """The defect of part number 0, 1, 2 … of the demo video: every sixth one has one."""
    if part % _ANOMALOUS_EVERY != _ANOMALOUS_EVERY - 1:
        return None
    return SAMPLE_DEFECTS[part // _ANOMALOUS_EVERY % len(SAMPLE_DEFECTS)]


def write_samples(out: Path, seed: int = 700) -> None:
    """`belt.mp4`, `belt.json` (which parts and frames are anomalous) and `inbox/*.png` (their names say so)."""
    inbox = out / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    frames: list[Array] = []
    anomalous = []
    for part in range(BELT_PARTS):
        kind = belt_defect(part)
        if kind is not None:
            first = part * FRAMES_A_PART
            anomalous.append({"part": part, "defect": kind, "frames": [first, first + FRAMES_A_PART - 1]})
        frames += part_frames(belt_part(seed + part, kind), FRAMES_A_PART, rng)
    write_video(out / "belt.mp4", frames)
    about = {"fps": FPS, "parts": BELT_PARTS, "frames_a_part": FRAMES_A_PART, "defective": anomalous}
    (out / "belt.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    for number in range(1, _INBOX_NORMAL + _INBOX_ANOMALOUS + 1):
        kind = None if number <= _INBOX_NORMAL else SAMPLE_DEFECTS[number - _INBOX_NORMAL - 1]
        scene = inbox_part(seed + number, kind)
        write_png(inbox / f"tile_{kind or 'good'}_{number:02d}.png", scene.image)


def write_calibration(out: Path, product: str, units: int, seed0: int = 100_000) -> None:
    """Normal units below `out`/good: `unit_00001.png` of the inbox; `unit_00001_1.png` … of the belt.

    A belt part is in several frames, as on the line, and they have been through the video coding: all of them
    are one unit (`--unit-from 'unit_([0-9]+)'`).
    """
    folder = out / "good"
    folder.mkdir(parents=True, exist_ok=True)
    if product == "inbox":
        for k in range(units):
            write_png(folder / f"unit_{k + 1:05d}.png", inbox_part(seed0 + k).image)
    elif product == "belt":
        for k, image in enumerate(coded_belt(units, seed0)):
            unit, number = divmod(k, FRAMES_A_PART)
            write_png(folder / f"unit_{unit + 1:05d}_{number + 1}.png", image)
    else:
        raise ValueError(f"unknown product {product!r}; known: belt, inbox")


def coded_belt(units: int, seed0: int) -> list[Array]:
    """FRAMES_A_PART decoded frames of each normal unit, in order."""
    rng = np.random.default_rng(seed0)
    frames: list[Array] = []
    for k in range(units):
        frames += part_frames(belt_part(seed0 + k), FRAMES_A_PART, rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "belt.mp4"
        write_video(path, frames)
        return read_video(path)


def write_png(path: Path, image: Array) -> None:
    """uint8 RGB (H,W,3) -> PNG; raises OSError when it cannot be written, ValueError for another shape."""
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"needs (H,W,3), got {image.shape}")
    if not cv2.imwrite(str(path), np.ascontiguousarray(image[..., ::-1])):
        raise OSError(f"{path}: cannot be written")
