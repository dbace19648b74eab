"""Every image of a line by two detectors: how far numbers, masks and verdicts lie apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from calibrate.datasets.sample import Sample
from calibrate.defects.on_images import Item
from calibrate.errors import DataError
from calibrate.inference import BATCH, FramedItem, Skips, frame_item
from calibrate.metrics.ranking import auroc
from calibrate.statistics.intervals import measured_rate
from fbclip.artefacts.profile import Profile
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.decision import Verdict
from fbclip.detector import Detector, Job
from fbclip.frozen import Frozen
from fbclip.memory.fusion import Terms, fused_prediction

AGREEMENT = 1e-3
"""In logits: what rounding alone may change between two runtimes, and nearly all thresholds never see."""
_GRAVITY = {Verdict.REJECTED: 0, Verdict.OK: 1, Verdict.UNCERTAIN: 2, Verdict.ANOMALY: 3}


class ParityDifference(Frozen):
    """Largest differences, in logits and distances; tokens of foreground masks, and how many flipped.

    auroc: of z of the images, null where the data has one label only. Verdicts are of units: `flips` with the new
    profile's own threshold, with the exact interval of their share; `flips_at_old` if the old profile were kept.
    """

    images: int
    units: int
    margin_max: float
    map_max: float
    distance_max: float | None
    mask_tokens: int
    mask_flips: int
    auroc_before: float | None
    auroc_after: float | None
    flips: int
    flips_low: float
    flips_high: float
    confidence: float
    flips_at_old: int

    @property
    def agrees(self) -> bool:
        """As two runtimes in float32 should: margins and maps within AGREEMENT, and no unit has another verdict."""
        apart = (self.margin_max, self.map_max, self.distance_max or 0.0)
        return all(one <= AGREEMENT for one in apart) and self.flips == 0


@dataclass(frozen=True, eq=False)
class Measured:
    """A detector with the profile that was measured on it."""

    detector: Detector
    profile: Profile


@dataclass(frozen=True, eq=False)
class _Pair:
    """One image by both: verdicts (old, new, new numbers by the old profile), z of both."""

    sample: Sample
    verdicts: tuple[Verdict, Verdict, Verdict]
    z: tuple[float, float]
    margin: float
    map: float
    distance: float | None
    tokens: int
    flips: int


def parity_difference(
    old: Measured,
    new: Measured,
    loaded: LoadedProfile,
    samples: Sequence[Sample],
    skips: Skips,
    advance: Callable[[int], None] = lambda _: None,
) -> ParityDifference:
    """`loaded`: the old profile as it frames images. Raises DataError where no image can be judged."""
    pairs = list(_pairs(old, new, loaded, samples, skips, advance))
    if not pairs:
        raise DataError("no image could be judged, so there is nothing to compare")
    labelled = [pair for pair in pairs if pair.sample.label is not None]
    labels = np.array([bool(pair.sample.label) for pair in labelled])
    before, after = (auroc(np.array([pair.z[side] for pair in labelled]), labels) for side in (0, 1))
    units = [_unit_verdicts(pairs, side) for side in range(3)]
    confidence = old.profile.calibration.confidence
    flips = sum(units[0][unit] != units[1][unit] for unit in units[0])
    low, high = measured_rate(flips, len(units[0]), confidence).interval or (0.0, 1.0)
    distances = [pair.distance for pair in pairs if pair.distance is not None]
    return ParityDifference(
        images=len(pairs),
        units=len(units[0]),
        margin_max=max(pair.margin for pair in pairs),
        map_max=max(pair.map for pair in pairs),
        distance_max=max(distances, default=None),
        mask_tokens=sum(pair.tokens for pair in pairs),
        mask_flips=sum(pair.flips for pair in pairs),
        auroc_before=before,
        auroc_after=after,
        flips=flips,
        flips_low=low,
        flips_high=high,
        confidence=confidence,
        flips_at_old=sum(units[0][unit] != units[2][unit] for unit in units[0]),
    )


def _pairs(
    old: Measured,
    new: Measured,
    loaded: LoadedProfile,
    samples: Sequence[Sample],
    skips: Skips,
    advance: Callable[[int], None],
) -> Iterator[_Pair]:
    """In order; the detectors take turns batch by batch."""
    profile, window = old.profile, loaded.framing.window
    frame = partial(old.detector.frame, framing=loaded.framing)
    for start in range(0, len(samples), BATCH):
        part = samples[start : start + BATCH]
        found = list(skips.rest(frame_item(Item(sample), frame, window) for sample in part))
        jobs = [
            Job(one.framed.tiles, profile.adapter, profile.smoothing, profile.tiling, profile.memory) for one in found
        ]
        for one, (exact, mask), (other, moved) in zip(
            found, old.detector.infer_with_masks(jobs), new.detector.infer_with_masks(jobs), strict=True
        ):
            yield _pair(one, (old.profile, new.profile), (exact, other), int((mask != moved).sum()), len(mask))
        advance(len(part))


def _pair(
    one: FramedItem, profiles: tuple[Profile, Profile], terms: tuple[Terms, Terms], flips: int, tokens: int
) -> _Pair:
    (old, new), (exact, other) = profiles, terms
    framed = one.framed
    decisions = [
        profile.decide(fused_prediction(numbers, profile.fusion), framed.placement, framed.ignore)
        for profile, numbers in ((old, exact), (new, other), (old, other))
    ]
    z = [float("nan") if decision.z is None else decision.z for decision in decisions]
    return _Pair(
        sample=one.item.sample,
        verdicts=(decisions[0].verdict, decisions[1].verdict, decisions[2].verdict),
        z=(z[0], z[1]),
        margin=abs(exact.margin - other.margin),
        map=float(np.abs(exact.map - other.map).max()),
        distance=_distance(exact, other),
        tokens=tokens,
        flips=flips,
    )


def _distance(exact: Terms, other: Terms) -> float | None:
    if exact.distance_map is None or other.distance_map is None:
        return None
    return float(np.abs(exact.distance_map - other.distance_map).max())


def _unit_verdicts(pairs: Sequence[_Pair], side: int) -> dict[str, Verdict]:
    """The worst verdict of each unit's images."""
    worst: dict[str, Verdict] = {}
    for pair in pairs:
        verdict = pair.verdicts[side]
        worst[pair.sample.unit] = max(worst.get(pair.sample.unit, verdict), verdict, key=_GRAVITY.__getitem__)
    return worst
