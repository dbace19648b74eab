"""What operators have changed beside agent.yaml: kept in the data directory, so that a restart changes nothing back."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, ValidationError

from agent.config.line import LineSection
from agent.line_states import LinePlan
from agent.pipeline.lines import ManualThreshold
from fbclip.errors import ConfigError
from fbclip.files import canonical_json, write_atomically
from fbclip.frozen import Frozen

log = logging.getLogger(__name__)
FILE_NAME = "steering.json"
MAX_BYTES = 1 << 20
MOST_BEFORE = 10


class ProfileChoice(Frozen):
    """By what a line is judged: a profile other than the configured one, and a threshold other than the profile's."""

    profile: Path | None = None
    threshold: ManualThreshold | None = None


class LineOverride(Frozen):
    """`configured` is the profile of agent.yaml when `choice` was made: once that changes, the choice is out of date.

    `before`: earlier choices, latest last, for rolling back.
    """

    enabled: bool = True
    configured: Path | None = None
    choice: ProfileChoice = ProfileChoice()
    before: tuple[ProfileChoice, ...] = ()

    def chosen(self, choice: ProfileChoice, configured: Path | None) -> LineOverride:
        """With another choice; the present one can be rolled back to."""
        before = (*(self.before if configured == self.configured else ()), self.current(configured))[-MOST_BEFORE:]
        return self.model_copy(update={"configured": configured, "choice": choice, "before": before})

    def rolled_back(self, configured: Path | None) -> LineOverride | None:
        """With the choice before; None where there is none."""
        if not self.before or configured != self.configured:
            return None
        return self.model_copy(update={"choice": self.before[-1], "before": self.before[:-1]})

    def current(self, configured: Path | None) -> ProfileChoice:
        """The choice, as long as agent.yaml names the profile that it replaced."""
        return self.choice if configured == self.configured else ProfileChoice()


class Overrides(Frozen):
    """By line."""

    lines: dict[str, LineOverride] = Field({}, max_length=10_000)

    def of(self, line: str) -> LineOverride:
        return self.lines.get(line, LineOverride())

    def put(self, line: str, override: LineOverride) -> Overrides:
        return Overrides(lines={**self.lines, line: override})

    def plan(self, section: LineSection) -> LinePlan:
        """The line as it should be."""
        override = self.of(section.name)
        choice = override.current(section.profile)
        profile = choice.profile or section.profile
        effective = section if profile == section.profile else section.model_copy(update={"profile": profile})
        return LinePlan(effective, override.enabled, choice.threshold)

    def plans(self, sections: Iterable[LineSection]) -> list[LinePlan]:
        return [self.plan(section) for section in sections]


def load_overrides(data_dir: Path) -> Overrides:
    """None yet where there is no file; raises ConfigError for one that cannot be read."""
    path = data_dir / FILE_NAME
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes")
        return Overrides.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Overrides()
    except (OSError, ValidationError) as error:
        raise ConfigError(f"{path}: cannot be read; remove it to go back to the configuration alone") from error


def save_overrides(overrides: Overrides, data_dir: Path) -> None:
    """Atomically; raises OSError."""
    write_atomically(data_dir / FILE_NAME, canonical_json(overrides.model_dump(mode="json")))
