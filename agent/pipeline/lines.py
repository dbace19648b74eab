"""Configuration -> the detector and the lines as they run, which match each other, or one clear refusal."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from agent.config.line import LineSection
from agent.config.sections import ModelSection
from agent.records import EventKind
from fbclip.artefacts.adapter import stored_id
from fbclip.artefacts.compatibility import mismatches
from fbclip.artefacts.profile_file import LoadedProfile, load_profile
from fbclip.backbone.config import EMBEDDED
from fbclip.backbone.weights import EMBEDDED_DIR
from fbclip.detector import Detector, open_detector
from fbclip.errors import ConfigError
from fbclip.memory.bank import stored_memory_id

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Line:
    """A line as it runs. Without a profile there is no threshold, so nothing is ever called ok."""

    section: LineSection
    adapter: str
    loaded: LoadedProfile | None = None

    @property
    def name(self) -> str:
        return self.section.name

    @property
    def profile_id(self) -> str | None:
        return None if self.loaded is None else self.loaded.profile.id


def load_detector(model: ModelSection, sections: Iterable[LineSection] = ()) -> Detector:
    """The detector of `model:` with the adapters and memories of all lines; the first adapter is that of lines that
    name none.

    Raises fbclip's WeightsError, AdapterError, MemoryBankError or ConfigError.
    """
    sections = tuple(sections)
    if model.threads is not None:
        torch.set_num_threads(model.threads)
    own = [section.adapter for section in sections]
    shared = [model.adapter] if model.adapter is not None else []
    if not shared and (not own or None in own) and model.backbone == EMBEDDED.name:
        shared = [EMBEDDED_DIR / "adapter"]
    adapters = [*shared, *(folder for folder in own if folder is not None)]
    memories = [section.memory for section in sections if section.memory is not None]
    return open_detector(model.backbone, model.weights, adapters, model.device, model.precision, memories)


def load_lines(detector: Detector, sections: Iterable[LineSection]) -> dict[str, Line]:
    """Lines with their profiles; raises ProfileError or ConfigError naming line, file and field."""
    return {section.name: load_line(detector, section) for section in sections}


def load_line(detector: Detector, section: LineSection) -> Line:
    """One line. Its profile must have been measured with what would run here."""
    adapter = detector.adapters[0] if section.adapter is None else stored_id(section.adapter)
    memory = None if section.memory is None else stored_memory_id(section.memory)
    if section.profile is None:
        return Line(section, adapter)
    loaded = load_profile(section.profile)
    check_profile(detector, adapter, section.name, section.profile, loaded, memory)
    guarantee = loaded.profile.calibration.guarantee
    covered = loaded.profile.calibration.bounds == "uncertain"
    if guarantee is not None and not covered and EventKind.UNCERTAIN in section.alert.on:
        log.warning(
            "line %s: the false-alarm rate of %.2f %% is guaranteed for anomalies, not for uncertain, which alerts too",
            section.name,
            100 * guarantee.false_alarm_rate,
        )
    return Line(section, adapter, loaded)


def check_profile(
    detector: Detector, adapter: str, line: str, path: Path, loaded: LoadedProfile, memory: str | None = None
) -> None:
    """Raises ConfigError listing every field in which the profile differs from what runs."""
    running = detector.running(adapter, memory)
    wrong = mismatches(loaded.profile, running)
    if loaded.profile.memory != memory:
        wrong.append(
            "leave memory (lines[].memory or --memory) away for a profile measured without one"
            if loaded.profile.memory is None
            else f"name the folder of memory {loaded.profile.memory[:12]} as lines[].memory or --memory"
        )
    if loaded.profile.line != line:
        wrong.insert(0, f"line: the profile is for {loaded.profile.line}, this line is {line}")
    if wrong:
        raise ConfigError(f"line {line}: profile {path} does not match: {'; '.join(wrong)}")
    if loaded.profile.device != running.device:
        log.warning(
            "line %s: the profile was measured on %s, this is %s: scores differ by rounding",
            line,
            loaded.profile.device,
            running.device,
        )
