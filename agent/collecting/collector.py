"""Usable frames -> `good/LINE-UNIT.png` and a table of where each came from, with its unit."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from agent.collecting.unit_rule import EachFrame, UnitRule, capture_seconds
from agent.errors import SourceError
from agent.pipeline.evidence import encode_png
from agent.records import Frame
from fbclip.files import write_atomically
from fbclip.images.quality import QualitySettings, image_fault

log = logging.getLogger(__name__)
LOG_NAME = "collect.csv"


@dataclass
class Collector:
    """Keeps some frames of each unit: the first, then the 2nd, 4th, 8th …, so that they are spread over it.

    every: one usable frame in so many is looked at. It is done when the last unit is full or a further one begins.
    """

    line: str
    folder: Path
    units: int
    every: int = 1
    rule: UnitRule = field(default_factory=EachFrame)
    frames_per_unit: int = 1
    offered: int = 0
    faults: int = 0
    passed: int = 0
    images: int = 0
    done: bool = False
    _seen: Counter[int] = field(default_factory=Counter)
    _kept: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        good = self.folder / "good"
        if good.is_dir() and any(good.iterdir()):
            raise SourceError(f"{good}: not empty; collect into a new folder so that units are not mixed")
        good.mkdir(parents=True, exist_ok=True)

    @property
    def written(self) -> int:
        """Units of which an image was kept."""
        return len(self._kept)

    def offer(self, frame: Frame) -> bool:
        """Keep the frame if it can be judged and its unit takes it; true when a new unit has begun."""
        if self.done:
            return False
        self.offered += 1
        if (self.offered - 1) % self.every:
            return False
        fault = frame.reason if frame.image is None else image_fault(frame.image, QualitySettings())
        if frame.image is None or fault is not None:
            self.faults += 1
            log.warning("line %s: frame %d not collected: %s", self.line, frame.seq, fault)
            return False
        unit = self.rule.unit_of(frame)
        if unit is None:
            self.passed += 1
            return False
        if unit > self.units:
            self.done = True
            return False
        return self._keep(frame, unit)

    def _keep(self, frame: Frame, unit: int) -> bool:
        self._seen[unit] += 1
        number = self._seen[unit]
        if self._kept[unit] >= self.frames_per_unit or number & (number - 1):
            return False
        self._kept[unit] += 1
        assert frame.image is not None
        name = f"{self.line}-{unit:05d}{'' if number == 1 else f'-{self._kept[unit]}'}.png"
        write_atomically(self.folder / "good" / name, encode_png(frame.image))
        self._note(name, unit, frame)
        self.images += 1
        self.done = unit >= self.units and self._kept[unit] >= self.frames_per_unit
        return number == 1

    def _note(self, name: str, unit: int, frame: Frame) -> None:
        path = self.folder / LOG_NAME
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as stream:
            rows = csv.writer(stream)
            if new:
                rows.writerow(["file", "unit", "line", "ts", "frame_number"])
            number = "" if frame.frame_number is None else frame.frame_number
            taken = datetime.fromtimestamp(capture_seconds(frame), UTC)
            rows.writerow([name, unit, self.line, taken.isoformat(), number])
