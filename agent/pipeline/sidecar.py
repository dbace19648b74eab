"""The result of a file as files beside it, where `sidecar: true`: the body of its `/result` message, and an overlay.

Of a private line no name and no picture: the JSON lies under the reference of the file, as its messages give it.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import cv2

from agent.mqtt.payloads import encode, result_body
from agent.pipeline.evidence import encode_png, overlay
from agent.pipeline.judged import Judged
from agent.records import Inspection
from fbclip.files import fitting_name, write_atomically

log = logging.getLogger(__name__)
RESULT_SUFFIX = ".result.json"
OVERLAY_SUFFIX = ".overlay.png"


def write_sidecar(agent: str, target: Path, inspection: Inspection, judged: Judged | None) -> None:
    """Beside `target`, which is where the file lies or would lie. Raises OSError.

    `judged`: its picture and map, which are gone where a move is finished by a later run: then there is no overlay.
    """
    body = {**result_body(agent, inspection), "file": None if inspection.private else target.name}
    name = inspection.path or "unnamed" if inspection.private else target.name
    picture = None if inspection.private or judged is None else _picture(judged)
    body["overlay"] = None
    if picture is not None:
        place = target.with_name(fitting_name(name, OVERLAY_SUFFIX))
        write_atomically(place, picture)
        body["overlay"] = place.name
    text = json.dumps(json.loads(encode(body)), indent=2, ensure_ascii=False)
    # The overlay first: whoever waits for the JSON finds what it names.
    write_atomically(target.with_name(fitting_name(name, RESULT_SUFFIX)), (text + "\n").encode())


def _picture(judged: Judged) -> bytes | None:
    """The overlay as PNG; None without a map, and where it cannot be encoded."""
    image = judged.frame.image
    if image is None or judged.margins is None or judged.placement is None or judged.limits is None:
        return None
    regions = judged.inspection.decision.regions
    try:
        return encode_png(overlay(image, judged.margins, judged.placement, judged.limits, regions))
    except cv2.error:
        log.warning("line %s: an overlay cannot be encoded", judged.inspection.line)
        return None
