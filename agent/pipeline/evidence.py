"""The images that stand behind a verdict, written before the row that names them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import cv2

from agent.records import Frame
from agent.store.ballast import disk_usage, picture_floor
from fbclip.decision import Decision, Region
from fbclip.files import write_atomically
from fbclip.images.geometry import FloatMap, Placement, RgbImage
from fbclip.images.heat_map import blend_heat_map

log = logging.getLogger(__name__)
MB = 1 << 20
# An image that was lost is told of for so long; lines may go without another one for days.
FAILURE_SHOWN_S = 60.0
JPEG_QUALITY = 90
BOX_COLOUR = (255, 40, 160)


@dataclass(frozen=True)
class EvidenceRefs:
    """Paths relative to the data directory; None where there is no image or it could not be written."""

    image_ref: str | None
    overlay_ref: str | None


class EvidenceWriter:
    """Owned by one thread; `problem` may be asked from any.

    A disk that is full costs the images, never the verdict: below the floor none is written, because what is left is
    for the database. `failures` counts the images that could not be written.
    """

    def __init__(
        self,
        data_dir: Path,
        run: str,
        usage: Callable[[Path], tuple[int, int]] = disk_usage,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`usage`: total and free bytes of the disk below a folder."""
        self._data_dir = data_dir
        self._run = run
        self._usage = usage
        self._monotonic = monotonic
        self._failed: tuple[float, str] | None = None
        self._below_floor = False
        self.failures = 0

    def problem(self) -> str | None:
        """Why images are not kept now, or were not a minute ago; None if they are."""
        if self._below_floor and (room := self._room()) is not None:
            return room
        failed = self._failed
        if failed is None or self._monotonic() - failed[0] > FAILURE_SHOWN_S:
            return None
        return f"evidence images cannot be written: {failed[1]}"

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
        if self._is_full():
            return EvidenceRefs(None, None)
        day = frame.ts.astimezone(UTC).strftime("%Y-%m-%d")
        # Run and number only: the name of an input file may name a person.
        stem = f"pictures/{frame.line}/{day}/{self._run}-{frame.seq}"
        image_ref = self._write(f"{stem}.jpg", frame.image)
        if image_ref is None or margins is None or placement is None or limits is None:
            return EvidenceRefs(image_ref, None)
        overlaid = overlay(frame.image, margins, placement, limits, decision.regions)
        return EvidenceRefs(image_ref, self._write(f"{stem}-overlay.jpg", overlaid))

    def _is_full(self) -> bool:
        room = self._room()
        if room is not None and not self._below_floor:
            log.warning("%s", room)
        if room is None and self._below_floor:
            log.info("evidence images are kept again")
        self._below_floor = room is not None
        self.failures += self._below_floor
        return self._below_floor

    def _room(self) -> str | None:
        """What to say where the disk has no room for images; None where it has."""
        total, free = self._usage(self._data_dir)
        floor = picture_floor(total)
        if free >= floor:
            return None
        return f"evidence images are not kept: the disk has {free // MB} MB free, the floor is {floor // MB} MB"

    def _write(self, ref: str, image: RgbImage) -> str | None:
        try:
            write_atomically(self._data_dir / ref, encode_jpeg(image), mode=0o600)
        except (OSError, cv2.error) as error:
            self.failures += 1
            reason = getattr(error, "strerror", None) or "encoding"
            if self._failed is None:
                log.warning("an evidence image was not written: %s", reason)
            self._failed = (self._monotonic(), reason)
            return None
        self._failed = None
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
