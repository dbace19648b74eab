"""The images that stand behind a verdict, written before the row that names them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import cv2

from agent.records import Frame
from fbclip.decision import Decision, Region
from fbclip.files import write_atomically
from fbclip.images.geometry import FloatMap, Placement, RgbImage
from fbclip.images.heat_map import blend_heat_map

log = logging.getLogger(__name__)
JPEG_QUALITY = 90
BOX_COLOUR = (255, 40, 160)


@dataclass(frozen=True)
class EvidenceRefs:
    """Paths relative to the data directory; None where there is no image or it could not be written."""

    image_ref: str | None
    overlay_ref: str | None


class EvidenceWriter:
    """Owned by one thread. A disk that is full costs the images, never the verdict; `failures` counts it."""

    def __init__(self, data_dir: Path, run: str) -> None:
        self._data_dir = data_dir
        self._run = run
        self.failures = 0

    def save(
        self,
        frame: Frame,
        margins: FloatMap | None,
        placement: Placement | None,
        limits: tuple[float, float] | None,
        decision: Decision,
    ) -> EvidenceRefs:
        """Write the frame and, where there is a map (S,S) float32 with fixed limits, the frame with its heat map."""
        if frame.image is None:
            return EvidenceRefs(None, None)
        day = frame.ts.astimezone(UTC).strftime("%Y-%m-%d")
        # Run and number only: the name of an input file may name a person.
        stem = f"pictures/{frame.line}/{day}/{self._run}-{frame.seq}"
        image_ref = self._write(f"{stem}.jpg", frame.image)
        if image_ref is None or margins is None or placement is None or limits is None:
            return EvidenceRefs(image_ref, None)
        overlaid = overlay(frame.image, margins, placement, limits, decision.regions)
        return EvidenceRefs(image_ref, self._write(f"{stem}-overlay.jpg", overlaid))

    def _write(self, ref: str, image: RgbImage) -> str | None:
        try:
            write_atomically(self._data_dir / ref, encode_jpeg(image))
        except (OSError, cv2.error) as error:
            self.failures += 1
            log.warning("an evidence image was not written: %s", getattr(error, "strerror", None) or "encoding")
            return None
        return ref


def encode_jpeg(image: RgbImage, quality: int = JPEG_QUALITY) -> bytes:
    """(H,W,3) uint8 RGB -> JPEG bytes; raises cv2.error for an image that JPEG cannot hold (65,535 a side)."""
    encoded, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not encoded:
        raise cv2.error("the image cannot be encoded")
    return data.tobytes()


def encode_png(image: RgbImage) -> bytes:
    """(H,W,3) uint8 RGB -> PNG bytes, without loss; raises cv2.error when it cannot be encoded."""
    encoded, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise cv2.error("the image cannot be encoded")
    return data.tobytes()


def overlay(
    image: RgbImage,
    margins: FloatMap,
    placement: Placement,
    limits: tuple[float, float],
    regions: tuple[Region, ...] = (),
) -> RgbImage:
    """The frame (H,W,3) uint8 RGB under its heat map, which is (S,S) float32, and boxes around the regions.

    `limits`: as in `blend_heat_map`, from the profile.
    """
    out = image.copy()
    roi = out[placement.y : placement.y + placement.height, placement.x : placement.x + placement.width]
    roi[:] = blend_heat_map(roi, margins, limits)
    thickness = max(1, round(max(image.shape[:2]) / 400))
    for region in regions:
        x1, y1, x2, y2 = region.box
        cv2.rectangle(out, (x1, y1), (x2 - 1, y2 - 1), BOX_COLOUR, thickness)
    return out
