"""The same bytes more than once: copies are dropped, contradictions reported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from calibrate.datasets.sample import Problem, Sample


def drop_copies(samples: Sequence[Sample], root: Path) -> tuple[list[Sample], list[Problem]]:
    """Samples without later copies of the same label and split, and one problem for each copy.

    Where only a copy has a mask, the image that stays takes it.
    """
    kept: dict[tuple[str, bool | None, str | None], Sample] = {}
    problems = []
    for sample in samples:
        key = (sample.sha256, sample.label, sample.split)
        first = kept.setdefault(key, sample)
        if first is not sample:
            kept[key] = replace(first, mask=first.mask or sample.mask)
            problems.append(Problem("copy", _name(sample, root), f"left out, same bytes as {_name(first, root)}"))
    return list(kept.values()), problems


def same_bytes(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Groups of two and more samples with the same bytes, in order of first appearance."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.sha256].append(sample)
    return [group for group in groups.values() if len(group) > 1]


def two_labels(samples: Sequence[Sample], root: Path) -> list[Problem]:
    """One for each image that is normal in one place and anomalous in another."""
    problems = []
    for group in same_bytes(samples):
        normal = next((s for s in group if s.label is False), None)
        anomalous = next((s for s in group if s.label is True), None)
        if normal is not None and anomalous is not None:
            detail = f"anomalous, but {_name(normal, root)} has the same bytes and is normal"
            problems.append(Problem("two labels", _name(anomalous, root), detail))
    return problems


def _name(sample: Sample, root: Path) -> str:
    return sample.path.relative_to(root).as_posix()
