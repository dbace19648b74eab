"""`agent inspect`: files judged by the very code of the daemon, without store or broker."""

from __future__ import annotations

import json
import logging
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from agent.commands.options import InspectRequest
from agent.config.line import LineSection
from agent.config.source import FolderSource
from agent.pipeline.evidence import encode_png, overlay
from agent.pipeline.judge import Judge
from agent.pipeline.judged import Judged
from agent.pipeline.line_loading import check_profile
from agent.pipeline.lines import Line
from agent.records import Frame, LineMode, with_picture
from fbclip.artefacts.profile_file import LoadedProfile, load_profile
from fbclip.backbone.config import Precision
from fbclip.detector import Detector, open_detector
from fbclip.engines.exported_engine import RunsOn, runs_on
from fbclip.errors import ConfigError, ImageError, SkippedScan
from fbclip.files import fitting_name, write_atomically
from fbclip.images.decode import read_image
from fbclip.images.geometry import Placement
from fbclip.images.picture import Picture
from fbclip.images.scans.sniff import is_scan_file
from fbclip.images.side_files import IMAGE_SUFFIXES, is_side_file, is_system_folder, is_unfinished
from fbclip.images.window import Window

# Without a profile no limits were measured; a fixed range keeps images comparable.
UNMEASURED_LIMITS = (-10.0, 10.0)
# The answer to a DICOM file that is no image, such as a report.
SKIPPED = "skipped"


@dataclass(frozen=True)
class Answer:
    """What one file is answered with; z, margin, score and threshold are null where there is no verdict.

    guarantee: what may be relied on of the threshold, in a few words.
    """

    path: str
    verdict: str
    reason: str | None
    advice: str | None
    z: float | None
    margin: float | None
    score: float | None
    threshold: float | None
    regions: list[dict[str, Any]]
    ms: float
    guarantee: str

    @property
    def passed(self) -> bool:
        return self.verdict in {"ok", "uncertain", SKIPPED}

    def text(self) -> str:
        """One line for people."""
        z = "" if self.z is None else f" z {self.z:.3f} (threshold {self.threshold:.3f})"
        margin = "" if self.margin is None else f" margin {self.margin:.3f}"
        reason = "" if self.reason is None else f" ({self.reason})"
        advice = "" if self.advice is None else f": {self.advice}"
        return f"{self.verdict:9}{reason}{z}{margin} {len(self.regions)} regions {_shown(self.path)}{advice}"


def inspect_command(request: InspectRequest) -> int:
    """Print one answer a file; returns 1 if any is anomalous or rejected. Raises ConfigError or FbclipError."""
    logging.basicConfig(level=logging.WARNING)
    files = expand(request.paths, request.private)
    # A profile belongs to one runtime and precision, so it names them.
    precision: Precision = "float32"
    runs: RunsOn | None = None
    if request.profile is not None:
        loaded = load_profile(request.profile)
        precision = loaded.profile.precision
        runs = runs_on(loaded.profile.runtime, request.export)
        if not request.as_json:
            typer.echo(f"{request.profile}: guarantee: {loaded.promise}", err=True)
    detector = open_detector(
        request.backbone,
        request.weights,
        () if request.adapter is None else (request.adapter,),
        request.device,
        precision,
        () if request.memory is None else (request.memory,),
        () if request.profile is None else (request.profile,),
        runs=runs,
    )
    passed = True
    for answer in inspect_files(detector, request.profile, files, request.save, request.private):
        passed &= answer.passed
        typer.echo(json.dumps(asdict(answer)) if request.as_json else answer.text())
    return 0 if passed else 1


def expand(paths: Sequence[Path], private: bool = False) -> list[Path]:
    """Files as given, folders as the images in them, in name order. `private`: an error names none."""
    out: list[Path] = []
    for path in paths:
        if path.is_dir():
            out += sorted(p for p in path.rglob("*") if p.is_file() and _wanted(p))
        else:
            out.append(path)
    if not out:
        raise ConfigError("no images there" if private else f"{', '.join(map(str, paths))}: no images there")
    return out


def _wanted(path: Path) -> bool:
    """An image by its name, or a scan, and not a system's copy of one."""
    if is_unfinished(path.name) or is_side_file(path.name) or any(map(is_system_folder, path.parts)):
        return False
    return path.suffix.lower() in IMAGE_SUFFIXES or is_scan_file(path)


def inspect_files(
    detector: Detector, profile_path: Path | None, paths: Sequence[Path], save: Path | None, private: bool = False
) -> Iterator[Answer]:
    """One answer a file, in order; `save` also gets each image with its heat map and regions.

    `private`: a file is named by its number only, in the answer and in `save`.
    """
    loaded: LoadedProfile | None = None
    name = "inspect"
    if profile_path is not None:
        loaded = load_profile(profile_path)
        name = loaded.profile.line
        memory = next(iter(detector.memories), None)
        check_profile(detector, detector.adapters[0], name, profile_path, loaded, memory)
    section = LineSection(
        name=name,
        source=FolderSource(type="folder", path=Path("inspect")),
        profile=profile_path,
        mode=LineMode.LEARNING,
    )
    line = Line(section, detector.adapters[0], loaded)
    judge = Judge(detector, {name: line}, "inspect")
    for seq, path in enumerate(paths, start=1):
        started = time.monotonic()
        shown = Path(f"file {seq}") if private else path
        try:
            frame = _read(name, seq, path, started, line.window)
        except SkippedScan as error:
            found = (SKIPPED, error.reason, None, None, None, None, None)
            yield Answer(str(shown), *found, [], _since(started), line.guarantee)
            continue
        judged = judge.judge([frame])[0]
        yield _answer(shown, judged, line)
        if save is not None:
            _save(save, shown, seq, judged)


def _read(line: str, seq: int, path: Path, started: float, window: Window) -> Frame:
    """Raises SkippedScan."""
    picture: Picture | None = None
    reason, sha256 = None, None
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            # A pipe would be waited for, for ever.
            return Frame(line, seq, datetime.now(UTC), started, None, "not_a_file", str(path), discrete=True)
        file = read_image(path, window)
        picture, sha256 = file.picture, file.sha256
    except SkippedScan:
        raise
    except ImageError as error:
        reason = error.reason
    except FileNotFoundError:
        reason = "missing"
    except OSError:
        reason = "unreadable"
    frame = Frame(
        line, seq, datetime.now(UTC), started, None, reason, str(path), sha256=sha256, discrete=True, window=window
    )
    return frame if picture is None else with_picture(frame, picture)


def _since(started: float) -> float:
    return round(1e3 * (time.monotonic() - started), 2)


def _shown(path: str) -> str:
    """A name may hold a line break, and the line after it must not read as a verdict."""
    return path if path.isprintable() else repr(path)


def _answer(path: Path, judged: Judged, line: Line) -> Answer:
    d = judged.inspection.decision
    regions = [{"box": list(r.box), "area_px": r.area_px, "margin_max": r.margin_max} for r in d.regions]
    ms = round(judged.inspection.latency.total, 2)
    found = (d.verdict.value, d.reason, d.advice, d.z, d.margin, d.score, d.threshold)
    return Answer(str(path), *found, regions, ms, line.guarantee)


def _save(folder: Path, path: Path, seq: int, judged: Judged) -> None:
    image, margins = judged.frame.image, judged.margins
    if margins is None or image is None:
        return
    placement = judged.placement or Placement(0, 0, image.shape[1], image.shape[0])
    overlaid = overlay(
        image, margins, placement, judged.limits or UNMEASURED_LIMITS, judged.inspection.decision.regions
    )
    write_atomically(folder / fitting_name(f"{seq:05d}_{path.stem}", ".png"), encode_png(overlaid))
