"""A command and what operators changed before -> what they have changed now. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.config.line import LineSection
from agent.pipeline.lines import ManualThreshold
from agent.steering.commands import (
    Command,
    CommandError,
    DisableCommand,
    EnableCommand,
    ProfileCommand,
    ThresholdCommand,
)
from agent.steering.overrides import Overrides, ProfileChoice


@dataclass(frozen=True)
class Situation:
    """`sections`: the lines of agent.yaml. `profiles`: the id of the profile file by which each line is judged now.

    `folder`: of agent.yaml; no command reaches a file outside it.
    """

    sections: Mapping[str, LineSection]
    profiles: Mapping[str, str]
    folder: Path


def decide(command: Command, overrides: Overrides, situation: Situation) -> Overrides:
    """Of the commands that change a line; raises CommandError."""
    if isinstance(command, EnableCommand | DisableCommand):
        _section(command.line, situation)
        enabled = isinstance(command, EnableCommand)
        return overrides.put(command.line, overrides.of(command.line).model_copy(update={"enabled": enabled}))
    if isinstance(command, ProfileCommand):
        return _profile(command, overrides, situation)
    if isinstance(command, ThresholdCommand):
        return _threshold(command, overrides, situation)
    raise CommandError("changes no line")


def _profile(command: ProfileCommand, overrides: Overrides, situation: Situation) -> Overrides:
    section, override = _section(command.line, situation), overrides.of(command.line)
    if command.profile is None:
        back = override.rolled_back(section.profile)
        if back is None:
            raise CommandError(f"line {command.line}: there is nothing to roll back to")
        return overrides.put(command.line, back)
    path = _inside(situation.folder, command.profile)
    # A threshold set by hand was for the other profile's scale.
    choice = ProfileChoice() if path == section.profile else ProfileChoice(profile=path)
    return overrides.put(command.line, override.chosen(choice, section.profile))


def _threshold(command: ThresholdCommand, overrides: Overrides, situation: Situation) -> Overrides:
    section, override = _section(command.line, situation), overrides.of(command.line)
    profile_id = situation.profiles.get(command.line)
    if profile_id is None:
        raise CommandError(f"line {command.line}: runs without a profile, so it has no threshold")
    manual = None
    if command.threshold is not None:
        manual = ManualThreshold(value=command.threshold, profile_id=profile_id)
    choice = ProfileChoice(profile=override.current(section.profile).profile, threshold=manual)
    return overrides.put(command.line, override.chosen(choice, section.profile))


def _section(line: str, situation: Situation) -> LineSection:
    section = situation.sections.get(line)
    if section is None:
        raise CommandError(f"line {line}: there is no such line")
    return section


def _inside(folder: Path, name: str) -> Path:
    """A path below the folder, by its name and by what its links lead to."""
    path = Path(os.path.normpath(folder / name))
    if not path.is_relative_to(folder) or not path.resolve().is_relative_to(folder.resolve()):
        raise CommandError("profile: must lie in the folder of the configuration, or below")
    return path
