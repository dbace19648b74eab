"""The image of a live line's last anomaly, for Home Assistant: small, and never of a private line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import cv2
import numpy as np

from agent.mqtt.home_assistant import RetainedTopics, image_topic
from agent.mqtt.payloads import Topics
from agent.pipeline.evidence import encode_jpeg, overlay
from agent.pipeline.judged import Judged
from agent.records import LineMode
from fbclip.decision import Verdict

log = logging.getLogger(__name__)
LONGEST_SIDE = 640
EVERY_S = 5.0
JPEG_QUALITY = 75


class HomeImage:
    """Observes inspections; at most one image a line in EVERY_S seconds."""

    def __init__(self, topics: Topics, sender: RetainedTopics, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._topics = topics
        self._sender = sender
        self._monotonic = monotonic
        self._last: dict[str, float] = {}

    def inspected(self, judged: Judged) -> None:
        inspection, now = judged.inspection, self._monotonic()
        wanted = inspection.mode is LineMode.LIVE and inspection.decision.verdict is Verdict.ANOMALY
        if not wanted or inspection.private or now - self._last.get(inspection.line, now - EVERY_S) < EVERY_S:
            return
        jpeg = _picture(judged)
        if jpeg is not None:
            self._last[inspection.line] = now
            self._sender.retain_bytes(image_topic(self._topics, inspection.line), jpeg)


def _picture(judged: Judged) -> bytes | None:
    image, margins, placement, limits = judged.frame.image, judged.margins, judged.placement, judged.limits
    if image is None:
        return None
    if margins is not None and placement is not None and limits is not None:
        image = overlay(image, margins, placement, limits, judged.inspection.decision.regions)
    scale = min(1.0, LONGEST_SIDE / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    try:
        return encode_jpeg(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), JPEG_QUALITY)
    except cv2.error:
        log.warning("line %s: the image of its last anomaly cannot be encoded", judged.inspection.line)
        return None
