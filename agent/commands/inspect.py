"""`agent inspect`: files judged by the very code of the daemon, without store or broker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.config.sections import FolderSource, LineSection
from agent.pipeline.evidence import encode_png, overlay
from agent.pipeline.judge import Judge, Judged, Line
from agent.pipeline.loading import check_profile
from agent.records import Frame, LineMode
from fbclip.artefacts.profile_file import LoadedProfile, load_profile
from fbclip.detector import Detector
from fbclip.errors import ConfigError, ImageError
from fbclip.files import write_atomically
from fbclip.images.decode import read_image
from fbclip.images.geometry import Placement

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True)
class Answer:
    """What one file is answered with; z, margin, score and threshold are null where there is no verdict."""

    path: str
    verdict: str
    reason: str | None
    z: float | None
    margin: float | None
    score: float | None
    threshold: float | None
    regions: list[dict[str, Any]]
    ms: float

    @property
    def passed(self) -> bool:
        return self.verdict in {"ok", "uncertain"}


def expand(paths: Sequence[Path]) -> list[Path]:
    """Files as given, folders as the images in them, in name order."""
    out: list[Path] = []
    for path in paths:
        if path.is_dir():
            out += sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
        else:
            out.append(path)
    if not out:
        raise ConfigError(f"{', '.join(map(str, paths))}: no images there")
    return out


def inspect_files(
    detector: Detector, profile_path: Path | None, paths: Sequence[Path], save: Path | None
) -> Iterator[Answer]:
    """One answer a file, in order; `save` also gets each image with its heat map and regions."""
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
        judged = judge.judge([_read(name, seq, path, started)])[0]
        yield _answer(path, judged)
        if save is not None:
            _save(save, path, seq, judged, loaded)


def _read(line: str, seq: int, path: Path, started: float) -> Frame:
    image, reason, sha256 = None, None, None
    try:
        file = read_image(path)
        image, sha256 = file.image, file.sha256
    except ImageError as error:
        reason = error.reason
    except OSError:
        reason = "unreadable"
    return Frame(line, seq, datetime.now(UTC), started, image, reason, str(path), sha256=sha256, discrete=True)


def _answer(path: Path, judged: Judged) -> Answer:
    d = judged.inspection.decision
    regions = [{"box": list(r.box), "area_px": r.area_px, "margin_max": r.margin_max} for r in d.regions]
    ms = round(judged.inspection.latency.total, 2)
    return Answer(str(path), d.verdict.value, d.reason, d.z, d.margin, d.score, d.threshold, regions, ms)


def _save(folder: Path, path: Path, seq: int, judged: Judged, loaded: LoadedProfile | None) -> None:
    if judged.prediction is None or judged.frame.image is None:
        return
    height, width = judged.frame.image.shape[:2]
    placement = judged.placement or Placement(0, 0, width, height)
    # Without a profile there are no limits that were measured; a fixed range keeps images comparable.
    limits = (-10.0, 10.0) if loaded is None else loaded.profile.map_limits
    drawn = overlay(judged.frame.image, judged.prediction.map, placement, limits, judged.inspection.decision.regions)
    write_atomically(folder / f"{seq:05d}_{path.stem}.png", encode_png(drawn))
