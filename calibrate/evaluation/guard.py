"""What was measured on images that a model or a threshold was fitted to says nothing; such data are refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from calibrate.datasets.line_data import select
from calibrate.datasets.sample import DataSet, Sample, data_sha256
from calibrate.errors import DataError
from fbclip.artefacts.adapter import load_adapter
from fbclip.artefacts.profile import Profile


def tuned_on(adapter: Path) -> frozenset[str]:
    """sha256 of the images an adapter says it was tuned on; empty for one that does not say."""
    images = load_adapter(adapter).manifest.provenance.get("pictures")
    return frozenset(p for p in images if isinstance(p, str)) if isinstance(images, list) else frozenset()


def check_unseen(data: DataSet, samples: Sequence[Sample], made_with: Set[str], profile: Profile | None) -> None:
    """Raises DataError when some of `samples`, a part of `data`, made adapter or memory or set the profile's threshold.

    A profile keeps one digest of all its images, so what it was set on is found only when it was made from this set,
    with the same units.
    """
    seen = [s for s in samples if s.sha256 in made_with]
    if seen:
        raise DataError(
            f"{data.root}: {len(seen)} of the images were used to make this adapter or memory, the first is "
            f"{seen[0].path.name}; evaluate on other ones"
        )
    if profile is None:
        return
    for used in _threshold_data(data, samples):
        if data_sha256(used) != profile.calibration.data_sha256:
            continue
        digests = {s.sha256 for s in used}
        count = sum(s.sha256 in digests for s in samples)
        if count:
            raise DataError(
                f"{data.root}: the threshold of profile {profile.id[:12]} was set on these images, {count} of "
                f"{len(samples)}; evaluate on other ones"
            )


def _threshold_data(data: DataSet, samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    """What a threshold made from this set may have used: see `line_data.select`; or just these samples."""
    yield samples
    yield [s for s in samples if s.label is False]
    for name in data.classes:
        if any(s.class_name == name and s.label is False for s in data.samples):
            for with_anomalous in (False, True):
                yield select(data, name, with_anomalous).samples
