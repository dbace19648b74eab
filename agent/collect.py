"""Good pictures through the live path -> a folder that `calibrate threshold` reads.

Pictures are stored without loss, after the same decoding and quality checks that a judged frame passes.
"""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass
from pathlib import Path

import cv2

from agent.errors import SourceError
from agent.records import Frame
from fbclip.files import write_atomically
from fbclip.quality import QualitySettings, picture_fault

log = logging.getLogger(__name__)
LOG_NAME = "collect.csv"


@dataclass
class Collector:
    """Writes `good/<line>-<number>.png` and a log of where each picture came from.

    `every`: of a moving line's frames, one in so many is kept, so that a unit is not counted twice.
    """

    line: str
    folder: Path
    units: int
    every: int = 1
    written: int = 0
    offered: int = 0
    faults: int = 0

    def __post_init__(self) -> None:
        good = self.folder / "good"
        if good.is_dir() and any(good.iterdir()):
            raise SourceError(f"{good}: not empty; collect into a new folder so that units are not mixed")
        good.mkdir(parents=True, exist_ok=True)

    @property
    def done(self) -> bool:
        return self.written >= self.units

    def offer(self, frame: Frame) -> bool:
        """Keep the frame if it is its turn and it can be judged; true when a picture was written."""
        if self.done:
            return False
        self.offered += 1
        if (self.offered - 1) % self.every:
            return False
        fault = frame.reason if frame.image is None else picture_fault(frame.image, QualitySettings())
        if frame.image is None or fault is not None:
            self.faults += 1
            log.warning("line %s: frame %d not collected: %s", self.line, frame.seq, fault)
            return False
        name = f"{self.line}-{self.written + 1:05d}.png"
        coded, data = cv2.imencode(".png", cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
        if not coded:
            raise SourceError(f"{name}: the picture cannot be encoded")
        write_atomically(self.folder / "good" / name, data.tobytes())
        self._note(name, frame)
        self.written += 1
        return True

    def _note(self, name: str, frame: Frame) -> None:
        path = self.folder / LOG_NAME
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as stream:
            rows = csv.writer(stream)
            if new:
                rows.writerow(["file", "unit", "line", "ts", "frame_number"])
            number = "" if frame.frame_number is None else frame.frame_number
            rows.writerow([name, self.written + 1, self.line, frame.ts.isoformat(), number])
