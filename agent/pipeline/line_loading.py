"""Configuration -> a line that matches the detector, or one clear refusal a line."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from agent.config.line import LineSection
from agent.config.source import FolderSource
from agent.pipeline.lines import Line, ManualThreshold
from agent.records import EventKind, LineMode
from fbclip.artefacts.adapter import stored_id
from fbclip.artefacts.compatibility import mismatches
from fbclip.artefacts.profile import Profile
from fbclip.artefacts.profile_file import LoadedProfile, load_profile
from fbclip.artefacts.seal import Seal, without_promises
from fbclip.detector import Detector
from fbclip.errors import ConfigError, FbclipError, InspectError
from fbclip.frozen import shown
from fbclip.images.window import DEFAULT_WINDOW
from fbclip.memory.bank import stored_memory_id

log = logging.getLogger(__name__)


def load_line(detector: Detector, section: LineSection, threshold: ManualThreshold | None = None) -> Line:
    """One line. Its profile must have been measured with what would run here.

    `threshold`: instead of the profile's, if it was set for this very profile; then nothing is guaranteed.
    Raises ConfigError naming line, file and field.
    """
    try:
        adapter = detector.adapters[0] if section.adapter is None else stored_id(section.adapter)
        memory = None if section.memory is None else stored_memory_id(section.memory)
        loaded = None if section.profile is None else load_profile(section.profile)
    except FbclipError as error:
        raise ConfigError(f"line {section.name}: {error}") from error
    judging = detector.running(adapter).method
    if section.method not in {None, judging}:
        raise ConfigError(
            f"line {section.name}: method: is to be {section.method}, its adapter is of method {judging}; name an "
            "adapter of that method as lines[].adapter"
        )
    if section.is_private:
        log.warning(
            "line %s: privacy: phi keeps names, paths and pictures on this machine; text that is burned into pictures "
            "is kept with their evidence",
            section.name,
        )
    if loaded is None or section.profile is None:
        return Line(section, adapter)
    check_profile(detector, adapter, section.name, section.profile, loaded, memory)
    _check_sight(section, loaded.profile)
    if loaded.profile.window != DEFAULT_WINDOW and not isinstance(section.source, FolderSource):
        raise ConfigError(
            f"line {section.name}: profile {section.profile}: window: only files are seen through a window, and "
            "this line has a camera or video; calibrate without --window"
        )
    file_id = loaded.profile.id
    if threshold is not None and threshold.profile_id == file_id:
        loaded = with_threshold(loaded, threshold.value)
    elif threshold is not None:
        log.warning("line %s: the threshold set by hand was for another profile and counts no more", section.name)
    if loaded.seal is Seal.EDITED:
        log.warning(
            "line %s: profile %s was edited after it was sealed; guarantee: none (edited)",
            section.name,
            section.profile,
        )
    guarantee = loaded.profile.calibration.guarantee
    covered = loaded.profile.calibration.bounds == "uncertain"
    if guarantee is not None and not covered and EventKind.UNCERTAIN in section.alert.kinds:
        log.warning(
            "line %s: the false-alarm rate of %.2f %% is guaranteed for anomalies, not for uncertain, which alerts too",
            section.name,
            100 * guarantee.false_alarm_rate,
        )
    line = Line(section, adapter, loaded, file_id)
    return line if section.shadow_profile is None else _with_shadow(line, detector, section.shadow_profile, memory)


def _with_shadow(line: Line, detector: Detector, path: Path, memory: str | None) -> Line:
    """The line with a profile beside its own; a line never suffers from one that cannot run, it only says why."""
    assert line.loaded is not None
    try:
        shadow = load_profile(path)
        check_profile(detector, line.adapter, line.name, path, shadow, memory if shadow.profile.memory else None)
        if different := _framed_otherwise(line.loaded.profile, shadow.profile):
            raise ConfigError(
                f"line {line.name}: shadow_profile {path}: {', '.join(different)} differ from the line's profile; what "
                "frames a picture otherwise cannot be judged on the same tokens"
            )
    except (InspectError, OSError) as error:
        log.warning("line %s: runs without its shadow profile: %s", line.name, error)
        return replace(line, no_shadow=str(error))
    return replace(line, shadow=shadow)


def _framed_otherwise(live: Profile, shadow: Profile) -> list[str]:
    """Fields on which tokens and the smoothed maps of them rest."""
    masks = [None if one.ignore_mask is None else one.ignore_mask.sha256 for one in (live, shadow)]
    names = [name for name in ("roi", "tiling", "window", "smoothing") if getattr(live, name) != getattr(shadow, name)]
    return names + (["ignore_mask"] if masks[0] != masks[1] else [])


def _check_sight(section: LineSection, profile: Profile) -> None:
    """A live line whose profile has not shown to find defects has to be wanted; raises ConfigError naming both ways."""
    if profile.sees is None or not profile.sees.blind or section.mode is not LineMode.LIVE or section.accept_blind:
        return
    row = profile.sees.large
    found = "nothing" if row is None else f"{row.found} of {row.total} large painted defects"
    raise ConfigError(
        f"line {section.name}: profile {section.profile} finds {found}, which does not show that it sees; calibrate "
        "with better images or a memory, use mode: shadow, or say accept_blind: true"
    )


def with_threshold(loaded: LoadedProfile, threshold: float) -> LoadedProfile:
    """The profile with another threshold, which nothing was measured at."""
    profile = without_promises(loaded.profile)
    calibration = profile.calibration.model_copy(update={"method": "manual"})
    below = profile.uncertain_above
    changes = {
        "threshold": threshold,
        "uncertain_above": None if below is None else min(below, threshold),
        "calibration": calibration,
    }
    return replace(loaded, profile=profile.model_copy(update=changes))


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
            else f"name the folder of memory {shown(loaded.profile.memory[:12])} as lines[].memory or --memory"
        )
    if (loaded.profile.runtime, loaded.profile.export) != (running.runtime, running.export):
        wrong.append("`calibrate parity` makes a profile for another runtime or export")
    if loaded.profile.line != line:
        wrong.insert(0, f"line: the profile is for {shown(loaded.profile.line)}, this line is {line}")
    if wrong:
        raise ConfigError(f"line {line}: profile {path} does not match: {'; '.join(wrong)}")
    if loaded.profile.device != running.device:
        log.warning(
            "line %s: the profile was measured on %s, this is %s: scores differ by rounding",
            line,
            loaded.profile.device,
            running.device,
        )
