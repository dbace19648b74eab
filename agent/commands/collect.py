"""Normal images through the live path -> a folder that `calibrate threshold` reads.

Images are stored without loss, after the same decoding and quality checks that a judged frame passes.
"""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress

from agent.commands.options import CollectRequest, section_of
from agent.config.line import LineSection, VideoSource
from agent.config.loader import load_config
from agent.errors import SourceError
from agent.pipeline.evidence import encode_png
from agent.privacy.quiet_log import make_logs_private
from agent.records import Frame
from agent.sources.factory import build_sink, build_source
from agent.sources.ledger import OnceLedger
from agent.sources.sinks import Tally
from agent.sources.supervisor import SourceSupervisor
from fbclip.files import write_atomically
from fbclip.images.quality import QualitySettings, image_fault

log = logging.getLogger(__name__)
LOG_NAME = "collect.csv"


def collect_command(request: CollectRequest) -> int:
    """Collect with a progress bar; returns 1 if the source ended too early. Raises ConfigError or SourceError."""
    section = section_of(load_config(request.config), request.line, request.config)
    logging.basicConfig(level=logging.WARNING)
    make_logs_private()
    collector = Collector(request.line, request.out, request.units, request.every)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("collecting", total=request.units)
        collect(section, collector, lambda: progress.advance(task), request.idle)
    unusable = f"{collector.faults} frames could not be used"
    typer.echo(f"{request.out}: {collector.written} of {request.units} units, {unusable}")
    return 0 if collector.done else 1


@dataclass
class Collector:
    """Writes `good/<line>-<number>.png` and a log of where each image came from.

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
        """Keep the frame if it is its turn and it can be judged; true when an image was written."""
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
        name = f"{self.line}-{self.written + 1:05d}.png"
        write_atomically(self.folder / "good" / name, encode_png(frame.image))
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


def collect(section: LineSection, collector: Collector, advance: Callable[[], None], idle_s: float = 30.0) -> None:
    """Run the line's source into `collector` until it has its units or the source ends.

    A video is read once from the start, every frame. A folder with nothing new for `idle_s` seconds is at its end.
    """
    if isinstance(section.source, VideoSource):
        whole = section.source.model_copy(update={"loop": False, "realtime": False, "trigger": "continuous"})
        section = section.model_copy(update={"source": whole})
    if section.is_triggered:
        # What is collected is no production: it waits for no triggers.
        section = section.model_copy(update={"source": section.source.model_copy(update={"trigger": "continuous"})})
    sink, ledger = build_sink(section, Tally(), lambda: None), OnceLedger()
    build_source(section, sink, ledger).check()
    supervisor = SourceSupervisor(section.name, lambda feed: build_source(section, feed, ledger), sink)
    supervisor.start()
    last = time.monotonic()
    try:
        while not collector.done:
            ended = not supervisor.alive
            frame = sink.get(0.5)
            if frame is not None:
                last = time.monotonic()
                if collector.offer(frame):
                    advance()
            elif ended or time.monotonic() - last > idle_s:
                break
    finally:
        supervisor.stop()
        sink.discard("collected")
        supervisor.join(5.0)
