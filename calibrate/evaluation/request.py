"""What an evaluation is asked for: which images, how they are looked at, by which definition."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Literal

from calibrate.datasets.sample import DataSet, Sample
from calibrate.errors import DataError
from fbclip.artefacts.compatibility import mismatches
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.detector import Detector
from fbclip.errors import ConfigError
from fbclip.images.framing import Framing
from fbclip.memory.fusion import Fusion

Part = Literal["test", "train", "all"]


@dataclass(frozen=True)
class EvaluationRequest:
    """What is asked for. With a profile the framing is the profile's, and `framing` must stay empty.

    part: None takes test where the set has splits, else everything; seen: sha256 of images that adapter or memory
    were made with; memory: id of one that the detector has, and fusion how it counts, the profile's where it has one.
    """

    part: Part | None = None
    framing: Framing = field(default_factory=Framing)
    profile: LoadedProfile | None = None
    paper: bool = False
    skip_bad: bool = False
    seen: Set[str] = frozenset()
    memory: str | None = None
    fusion: Fusion | None = None


def select(data: DataSet, part: Part | None) -> tuple[list[Sample], str]:
    """(images of the part in order, its name); raises DataError for a part without any."""
    splits = {s.split for s in data.samples}
    chosen = part or ("test" if "test" in splits else "all")
    samples = [s for s in data.samples if chosen in {"all", s.split}]
    if not samples:
        what = "images" if chosen == "all" else f"pictures in the split {chosen}"
        raise DataError(f"{data.root}: no {what}; `calibrate data` shows what the set holds")
    return samples, chosen


def framing_of(detector: Detector, adapter: str, plan: EvaluationRequest) -> Framing:
    """The profile's framing where there is one; raises ConfigError unless the profile belongs to what runs."""
    if plan.profile is None:
        framing = plan.framing
    else:
        asked, profile = plan.framing, plan.profile.profile
        if asked.roi is not None or asked.tiling is not None or asked.mask is not None:
            raise ConfigError("--roi, --tiles and --ignore-mask come from the profile; leave them out with --profile")
        wrong = mismatches(profile, detector.running(adapter, plan.memory))
        if profile.smoothing != detector.smoothing[adapter]:
            wrong.append(f"smoothing: the profile has {profile.smoothing}, the adapter {detector.smoothing[adapter]}")
        if wrong:
            raise ConfigError(f"--profile: {'; '.join(wrong)}")
        framing = plan.profile.framing
    if plan.paper and plan.fusion is not None:
        raise ConfigError("--paper: the released code knows no memory; leave --paper or --memory out")
    if plan.paper and framing.tiling is not None:
        raise ConfigError("--paper: the released code knows no tiles; leave --paper or the tiles out")
    return framing
