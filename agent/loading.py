"""Configuration -> model and lines that fit each other, or one clear refusal."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import torch

from agent.config import LineSection, ModelSection
from agent.errors import ConfigError
from agent.judge import Line
from agent.records import EventKind
from fbclip.adapter import stored_id
from fbclip.config import EMBEDDED
from fbclip.detector import Detector, open_detector
from fbclip.profile import LoadedProfile, load_profile, mismatches
from fbclip.weights import EMBEDDED_DIR

log = logging.getLogger(__name__)


def load_detector(model: ModelSection, sections: Iterable[LineSection] = ()) -> Detector:
    """The detector of `model:` with the adapters of all lines; the first is that of lines that name none.

    Raises fbclip's WeightsError, AdapterError or ConfigError.
    """
    if model.threads is not None:
        torch.set_num_threads(model.threads)
    own = [section.adapter for section in sections]
    shared = [model.adapter] if model.adapter is not None else []
    if not shared and (not own or None in own) and model.backbone == EMBEDDED.name:
        shared = [EMBEDDED_DIR / "adapter"]
    adapters = [*shared, *(folder for folder in own if folder is not None)]
    return open_detector(model.backbone, model.weights, adapters, model.device, model.precision)


def load_lines(detector: Detector, sections: Iterable[LineSection]) -> dict[str, Line]:
    """Lines with their profiles; raises ProfileError or ConfigError naming line, file and field."""
    return {section.name: load_line(detector, section) for section in sections}


def load_line(detector: Detector, section: LineSection) -> Line:
    """One line. Its profile must have been measured with what would run here."""
    adapter = detector.adapters[0] if section.adapter is None else stored_id(section.adapter)
    if section.profile is None:
        return Line(section, adapter)
    loaded = load_profile(section.profile)
    check_profile(detector, adapter, section.name, section.profile, loaded)
    guarantee = loaded.profile.calibration.guarantee
    covered = loaded.profile.calibration.bounds == "uncertain"
    if guarantee is not None and not covered and EventKind.UNCERTAIN in section.alert.on:
        log.warning(
            "line %s: the false-alarm rate of %.2f %% is guaranteed for anomalies, not for uncertain, which alerts too",
            section.name,
            100 * guarantee.false_alarm_rate,
        )
    return Line(section, adapter, loaded)


def check_profile(detector: Detector, adapter: str, line: str, path: Path, loaded: LoadedProfile) -> None:
    """Raises ConfigError listing every field in which the profile differs from what runs."""
    running = detector.running(adapter)
    wrong = mismatches(loaded.profile, running)
    if loaded.profile.line != line:
        wrong.insert(0, f"line: the profile is for {loaded.profile.line}, this line is {line}")
    if wrong:
        raise ConfigError(f"line {line}: profile {path} does not fit: {'; '.join(wrong)}")
    if loaded.profile.device != running.device:
        log.warning(
            "line %s: the profile was measured on %s, this is %s: scores differ by rounding",
            line,
            loaded.profile.device,
            running.device,
        )
