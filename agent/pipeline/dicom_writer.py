"""Writes what was found in the DICOM files of a line beside its verdicts, where `dicom_outputs` names a folder."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from pydicom import Dataset, dcmread

from agent.pipeline.dicom_outputs import secondary_capture, segmentation
from agent.pipeline.evidence import overlay
from agent.pipeline.judged import Judged
from agent.pipeline.lines import Line
from agent.sources.path_text import to_path
from fbclip.decision import Verdict, region_mask
from fbclip.errors import ImageError
from fbclip.files import write_atomically
from fbclip.images.geometry import BoolMap, RgbImage
from fbclip.images.scans.quiet import quiet

log = logging.getLogger(__name__)


class DicomWriter:
    """Observes inspections, on the recorder's thread: the file still lies where it was judged.

    What cannot be written is told once a line and costs nothing else. A file has no outputs where the agent ends
    between its verdict and them.
    """

    def __init__(self, lines: Mapping[str, Line], run: str) -> None:
        self._lines = lines
        self._run = run
        self._told: set[tuple[str, str]] = set()

    def inspected(self, judged: Judged) -> None:
        line = self._lines.get(judged.inspection.line)
        folder = None if line is None else line.section.dicom_outputs
        context = judged.inspection.context or {}
        if line is None or folder is None or context.get("format") != "dicom" or judged.frame.path is None:
            return
        if judged.prediction is None or judged.frame.image is None:
            return
        try:
            self._write(folder, line, judged)
        except (OSError, cv2.error, ImageError) as error:
            self._tell(line.name, "outputs", getattr(error, "strerror", None) or type(error).__name__)

    def _write(self, folder: Path, line: Line, judged: Judged) -> None:
        found = _sources(judged)
        if found is None:
            # Other bytes meanwhile: they are judged by themselves.
            return
        source, sources = found
        frame = int(judged.inspection.frame_number or 1) if len(sources) == 1 and not judged.frame.series else 1
        with quiet("DICOM"):
            others = [one for one in sources if one is not source]
            capture = secondary_capture(source, frame, _overlaid(judged), others)
        # Run and number only: the name of the file may name a person.
        stem = f"{self._run}-{judged.frame.seq}"
        _save(folder / f"{stem}-overlay.dcm", capture)
        mask = _mask(line, judged)
        if mask is None or not mask.any():
            return
        try:
            with quiet("DICOM"):
                place = frame if len(sources) == 1 else 1 + next(i for i, one in enumerate(sources) if one is source)
                found_there = segmentation(sources, place, mask)
        except ImageError:
            self._tell(line.name, "segmentation", "a source has no frame of reference, or one that does not hold")
        else:
            _save(folder / f"{stem}-segmentation.dcm", found_there)

    def _tell(self, line: str, what: str, why: str) -> None:
        if (line, what) not in self._told:
            self._told.add((line, what))
            log.warning("line %s: DICOM %s cannot be written: %s (told once)", line, what, why)


def _sources(judged: Judged) -> tuple[Dataset, list[Dataset]] | None:
    """The header of the file that the verdict is about, and those of all slices judged with it; None where a file
    holds other bytes by now."""
    frame, inspection = judged.frame, judged.inspection
    assert frame.path is not None
    places = {frame.path: inspection.sha256}
    own = frame.path
    if frame.series:
        places = {one.place: one.sha256 for one in frame.series if one.reason is None}
        own = next(one.place for one in frame.series if one.id == inspection.file_id)
    headers = {}
    for place, sha256 in places.items():
        data = to_path(place).read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            return None
        with quiet("DICOM"):
            headers[place] = dcmread(BytesIO(data), stop_before_pixels=True)
    return headers[own], list(headers.values())


def _overlaid(judged: Judged) -> RgbImage:
    image = judged.frame.image
    assert image is not None
    if judged.margins is None or judged.placement is None or judged.limits is None:
        return image
    return overlay(image, judged.margins, judged.placement, judged.limits, judged.inspection.decision.regions)


def _mask(line: Line, judged: Judged) -> BoolMap | None:
    """The pixels of the regions, as large as the image; None where the verdict has none."""
    decision, prediction, placement, image = (
        judged.inspection.decision,
        judged.prediction,
        judged.placement,
        judged.frame.image,
    )
    if not decision.regions or line.loaded is None or prediction is None or placement is None or image is None:
        return None
    profile = line.loaded.profile
    level = profile.threshold
    if decision.verdict is Verdict.UNCERTAIN and profile.uncertain_above is not None:
        level = profile.uncertain_above
    above = region_mask(prediction, profile.statistic, level).astype(np.uint8)
    whole = np.zeros(image.shape[:2], np.uint8)
    size = (placement.width, placement.height)
    part = cv2.resize(above, size, interpolation=cv2.INTER_NEAREST)
    whole[placement.y : placement.y + placement.height, placement.x : placement.x + placement.width] = part
    inside = np.zeros_like(whole)
    for region in decision.regions:
        x1, y1, x2, y2 = region.box
        inside[y1:y2, x1:x2] = 1
    return (whole & inside).astype(np.bool_)


def _save(path: Path, made: Dataset) -> None:
    out = BytesIO()
    with quiet("DICOM"):
        made.save_as(out, enforce_file_format=True)
    write_atomically(path, out.getvalue(), mode=0o600)
