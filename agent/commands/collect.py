"""Normal images through the live path -> a folder that `calibrate threshold` reads.

Images are stored without loss, after the same decoding and quality checks that a judged frame passes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress

from agent.collecting.collector import Collector
from agent.collecting.unit_rule import EachFrame, unit_rule
from agent.commands.options import CollectRequest, section_of
from agent.config.line import LineSection
from agent.config.loader import load_config
from agent.config.source import FolderSource, VideoSource
from agent.privacy.quiet_log import make_logs_private
from agent.sources.factory import build_sink, build_source
from agent.sources.ledger import OnceLedger
from agent.sources.sinks import Tally
from agent.sources.supervisor import SourceSupervisor
from fbclip.errors import ConfigError

LONG_UNIT = 500
"""Frames without a new unit after which the user is told: a line may stand still, or the way may not fit it."""


def collect_command(request: CollectRequest) -> int:
    """Collect with a progress bar; returns 1 if the source ended too early. Raises ConfigError or SourceError."""
    section = section_of(load_config(request.config), request.line, request.config)
    rule = unit_rule(request.unit, section, request.every)
    logging.basicConfig(level=logging.WARNING)
    make_logs_private()
    frames = 1 if isinstance(rule, EachFrame) else request.frames_per_unit
    collector = Collector(request.line, request.out, request.units, request.every, rule, frames)
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("units", total=request.units)
        waited = 0

        def seen(new_unit: bool) -> None:
            nonlocal waited
            waited = 0 if new_unit else waited + 1
            progress.update(task, completed=collector.written, description=f"units ({collector.offered} frames seen)")
            if waited == LONG_UNIT:
                console.print(f"no new unit for {LONG_UNIT} frames: if parts go by, try another --unit", markup=False)

        collect(section, collector, seen, request.idle)
    typer.echo(_result(request.out, collector))
    return 0 if collector.written >= request.units else 1


def _result(out: Path, collector: Collector) -> str:
    between = f", {collector.passed} between two units" if collector.passed else ""
    return (
        f"{out}: {collector.written} of {collector.units} units, {collector.images} images kept of "
        f"{collector.offered} frames{between}, {collector.faults} frames could not be used"
    )


def collect(section: LineSection, collector: Collector, seen: Callable[[bool], None], idle_s: float = 30.0) -> None:
    """Run the line's source into `collector` until it has its units or the source ends.

    `seen` hears of each frame whether a unit began with it. A video is read once from the start, every frame. A folder
    with nothing new for `idle_s` seconds is at its end.

    Raises ConfigError for a line that judges series: its units are volumes, and what is kept here is one image each.
    """
    if isinstance(section.source, FolderSource) and section.source.series_s is not None:
        raise ConfigError(
            f"line {section.name}: series_s: each slice would be kept as a unit of its own; give `calibrate` the DICOM "
            "files themselves, whose series it takes as units"
        )
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
                seen(collector.offer(frame))
            elif ended or time.monotonic() - last > idle_s:
                break
    finally:
        supervisor.stop()
        sink.discard("collected")
        supervisor.join(5.0)
