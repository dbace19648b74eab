"""What a line runs by, as the calibration card shows it. Pure: a line in, values for the template out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.pipeline.lines import Line
from agent.pipeline.shadow_tally import ShadowCounts
from fbclip.artefacts.profile import Profile
from fbclip.artefacts.sees import FoundShare, Sees

BARS = 40


@dataclass(frozen=True)
class Bar:
    """One bar of the histogram, in shares of the drawing: left edge, width, height; and what it counts."""

    left: float
    width: float
    height: float
    count: int
    low: float
    high: float


@dataclass(frozen=True)
class Histogram:
    """z of the calibration's normal units, with where the thresholds stand (0..1 from the left)."""

    bars: tuple[Bar, ...]
    low: float
    high: float
    threshold: float
    uncertain_above: float | None


@dataclass(frozen=True)
class Card:
    """`profile` is None on a line without one. `by_hand`: the threshold is not the profile's own."""

    line: str
    mode: str
    enabled: bool
    profile: Profile | None = None
    profile_file: Path | None = None
    guarantee: str = ""
    by_hand: bool = False
    histogram: Histogram | None = None
    shadow_file: Path | None = None
    shadow: Profile | None = None
    no_shadow: str | None = None
    counts: ShadowCounts | None = None
    others: tuple[str, ...] = ()
    can_roll_back: bool = False

    @property
    def sees(self) -> Sees | None:
        return None if self.profile is None else self.profile.sees

    @property
    def seen(self) -> tuple[FoundShare, ...]:
        """Painted defects by size and kind, then real ones where there were any."""
        if self.sees is None:
            return ()
        real = () if self.sees.real is None else (self.sees.real,)
        return (*self.sees.sizes, *self.sees.kinds, *real)


def card_of(
    line: Line | None,
    name: str,
    mode: str,
    enabled: bool = True,
    counts: ShadowCounts | None = None,
    others: Sequence[str] = (),
    can_roll_back: bool = False,
) -> Card:
    """`line` is None where it could not be loaded. `others`: profile files that it may be switched to."""
    if line is None or line.loaded is None:
        return Card(name, mode, enabled, others=tuple(others), can_roll_back=can_roll_back)
    profile = line.loaded.profile
    return Card(
        line=name,
        mode=mode,
        enabled=enabled,
        profile=profile,
        profile_file=line.section.profile,
        guarantee=line.guarantee,
        by_hand=line.measured_id != line.profile_id,
        histogram=histogram_of(profile),
        shadow_file=line.section.shadow_profile,
        shadow=None if line.shadow is None else line.shadow.profile,
        no_shadow=line.no_shadow,
        counts=counts,
        others=tuple(others),
        can_roll_back=can_roll_back,
    )


def histogram_of(profile: Profile) -> Histogram | None:
    """None in profiles that were made before their scores were kept."""
    values = profile.calibration.reference
    if not values:
        return None
    marks = [profile.threshold, *([] if profile.uncertain_above is None else [profile.uncertain_above])]
    low, high = min(values[0], *marks), max(values[-1], *marks)
    margin = 0.05 * ((high - low) or 1.0)
    low, high = low - margin, high + margin
    step = (high - low) / BARS
    counts = [0] * BARS
    for value in values:
        counts[min(BARS - 1, int((value - low) / step))] += 1
    most = max(counts)
    bars = tuple(
        Bar(k / BARS, 1 / BARS, count / most, count, low + k * step, low + (k + 1) * step)
        for k, count in enumerate(counts)
        if count
    )
    place = [(mark - low) / (high - low) for mark in marks]
    return Histogram(bars, low, high, place[0], place[1] if len(place) > 1 else None)
