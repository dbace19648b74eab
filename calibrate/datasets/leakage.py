"""Nothing is measured on what it was made of: images that two parts share, or that an adapter or a memory has seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from calibrate.datasets.sample import Sample
from calibrate.errors import DataError
from fbclip.artefacts.adapter import load_adapter
from fbclip.detector import Detector
from fbclip.memory.bank import Memory


def tuned_on(adapter: Path) -> frozenset[str]:
    """sha256 of the images an adapter was tuned on; empty for one that does not say. Raises AdapterError."""
    return _digests(load_adapter(adapter).manifest.provenance, "pictures")


def detector_has_seen(detector: Detector) -> frozenset[str]:
    """The same of all adapters of a detector, stored or made on the spot."""
    adapters = (detector.adapter(name) for name in detector.adapters)
    return frozenset().union(*(_digests(adapter.manifest.provenance, "pictures") for adapter in adapters))


def seen_by(memory: Memory) -> frozenset[str]:
    """sha256 of every image that had a say in a memory: those in it, and those left out of it as outliers."""
    return _digests(memory.manifest.provenance, "pictures", "outliers")


def _digests(provenance: Mapping[str, Any], *fields: str) -> frozenset[str]:
    lists = [provenance.get(name) for name in fields]
    return frozenset(p for found in lists if isinstance(found, list) for p in found if isinstance(p, str))


@dataclass(frozen=True)
class SharedImage:
    """A sample and its `twin` in another group: the same image, or else another one of the same unit."""

    sample: Sample
    twin: Sample

    @property
    def same_bytes(self) -> bool:
        return self.sample.sha256 == self.twin.sha256


def shared_images(samples: Iterable[Sample], others: Iterable[Sample]) -> Iterator[SharedImage]:
    """Those of `samples`, in order, whose bytes or whose unit are among `others` as well."""
    by_bytes: dict[str, Sample] = {}
    by_unit: dict[str, Sample] = {}
    for other in others:
        by_bytes[other.sha256] = by_unit[other.unit] = other
    for sample in samples:
        twin = by_bytes.get(sample.sha256) or by_unit.get(sample.unit)
        if twin is not None:
            yield SharedImage(sample, twin)


def check_disjoint(parts: Mapping[str, Sequence[Sample]]) -> None:
    """Raises DataError naming the first images or units that two parts share; `parts`: name -> samples."""
    for (one, first), (other, second) in combinations(parts.items(), 2):
        for shared in shared_images(second, first):
            sample = shared.sample
            if shared.same_bytes:
                raise DataError(
                    f"{sample.path} ({other}) is the same image as {shared.twin.path} ({one}); "
                    f"{one} and {other} must not share any"
                )
            raise DataError(f"{sample.path}: unit {sample.unit!r} is in {one} and in {other}; they must not share any")


def check_unseen(samples: Sequence[Sample], seen: Mapping[str, Set[str]], advice: str) -> None:
    """Raises DataError naming the first image whose bytes are in one of `seen`: where -> sha256 of its images.

    The message is `FILE is in WHERE as well (2 of 9 images are); ADVICE`.
    """
    for where, digests in seen.items():
        shared = [s for s in samples if s.sha256 in digests]
        if shared:
            raise DataError(
                f"{shared[0].path} is in {where} as well ({len(shared)} of {len(samples)} images are); {advice}"
            )
