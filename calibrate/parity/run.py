"""`calibrate parity` as one call: a profile for another runtime, what differs, and what stands against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from calibrate.inference import Skips
from calibrate.parity.difference import Measured, ParityDifference, parity_difference
from calibrate.parity.gate import refusals
from calibrate.threshold.profile import ProfileResult, make_profile
from calibrate.threshold.request import ThresholdRequest
from fbclip.artefacts.compatibility import mismatches
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.detector import Detector
from fbclip.errors import ConfigError


@dataclass(frozen=True, eq=False)
class ParityResult:
    """refused: what stands against the new profile, one line each."""

    result: ProfileResult
    difference: ParityDifference
    refused: tuple[str, ...]


def check_parity(
    loaded: LoadedProfile,
    old: Detector,
    new: Detector,
    request: ThresholdRequest,
    skips: Skips,
    advance: Callable[[int], None] = lambda _: None,
) -> ParityResult:
    """`old` is what the profile was measured with, `new` what is to run. Raises ConfigError where `old` is not, and
    as `make_profile`."""
    profile = loaded.profile
    wrong = mismatches(profile, old.running(profile.adapter, profile.memory))
    if wrong:
        raise ConfigError(f"the profile cannot be compared with: {'; '.join(wrong)}")
    result = make_profile(new, profile.adapter, request, advance, skips)
    made = result.profile
    # Why the memory counts as it does was found out before, and is kept.
    made = made.model_copy(update={"fusion_choice": profile.fusion_choice if made.fusion is not None else None})
    result = replace(result, profile=made)
    samples = (*request.data.samples, *request.data.unused)
    difference = parity_difference(
        Measured(old, profile), Measured(new, made), loaded, samples, Skips(allowed=True), advance
    )
    return ParityResult(result, difference, tuple(refusals(profile, made)))
