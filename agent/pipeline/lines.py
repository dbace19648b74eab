"""A line as it runs, and the lines that are judged now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import Field

from agent.config.line import LineSection
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.frozen import Frozen
from fbclip.images.window import DEFAULT_WINDOW, Window


@dataclass(frozen=True, eq=False)
class Line:
    """A line as it runs. Without a profile there is no threshold, so nothing is ever called ok.

    `shadow`: a profile that judges beside it, of which nobody hears; `no_shadow` says why it does not.
    """

    section: LineSection
    adapter: str
    loaded: LoadedProfile | None = None
    file_id: str | None = None
    shadow: LoadedProfile | None = None
    no_shadow: str | None = None

    @property
    def name(self) -> str:
        return self.section.name

    @property
    def profile_id(self) -> str | None:
        return None if self.loaded is None else self.loaded.profile.id

    @property
    def guarantee(self) -> str:
        """What may be relied on, in a few words; of a threshold set by hand nothing."""
        return "none (no profile)" if self.loaded is None else self.loaded.promise

    @property
    def window(self) -> Window:
        """What the profile was measured through, and files are decoded by."""
        return DEFAULT_WINDOW if self.loaded is None else self.loaded.profile.window

    @property
    def measured_id(self) -> str | None:
        """The id of the profile as its file says it, without a threshold set by hand."""
        return self.profile_id if self.file_id is None else self.file_id


class ManualThreshold(Frozen):
    """Set by hand for one profile, whose scale it is on."""

    value: float = Field(allow_inf_nan=False)
    profile_id: str


class LiveLines(Mapping[str, Line]):
    """The lines that are judged now. They are replaced one by one while others read: no reader sees half a change.

    A line that is taken away stays here, because frames of it may still be on their way.
    """

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self._lines = {line.name: line for line in lines}

    def put(self, line: Line) -> None:
        """From the next frame on."""
        self._lines = {**self._lines, line.name: line}

    def __getitem__(self, name: str) -> Line:
        return self._lines[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)
