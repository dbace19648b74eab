"""Which mask belongs to which image: by name, never by position in a sorted list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from calibrate.datasets.sample import Entry, Problem
from calibrate.datasets.tree import stem


def pair_masks(
    entries: Sequence[Entry], masks: Mapping[str, str], homes: Mapping[str, Sequence[str]]
) -> tuple[list[Entry], list[Problem]]:
    """Entries with their masks, and one problem for every mask that is not used.

    `masks`: mask file -> folder it stands for; `homes`: image file -> folders whose masks may be its own, the
    closest first. A mask is called like its image or like it with `_mask`. Only anomalous images have masks.
    A mask that two images claim from equally close is given to neither.
    """
    by_name: dict[tuple[str, str], str] = {}
    for mask, folder in sorted(masks.items()):
        by_name.setdefault((folder, stem(mask)), mask)
    claims: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for entry in entries:
        claim = _closest(entry, by_name, homes) if entry.label else None
        if claim is not None:
            claims[claim[1]].append((claim[0], entry.file))
    owner: dict[str, str] = {}
    problems = []
    for mask in sorted(masks):
        if mask not in claims:
            problems.append(Problem("mask", mask, "a mask that no anomalous image is called like; not used"))
            continue
        best = min(claims[mask])[0]
        files = [file for distance, file in claims[mask] if distance == best]
        if len(files) > 1:
            problems.append(Problem("mask", mask, f"may be the mask of {files[0]} or of {files[1]}; not used"))
        else:
            owner[files[0]] = mask
    return [replace(entry, mask=owner.get(entry.file)) for entry in entries], problems


def _closest(
    entry: Entry, by_name: Mapping[tuple[str, str], str], homes: Mapping[str, Sequence[str]]
) -> tuple[int, str] | None:
    own = stem(entry.file)
    for distance, folder in enumerate(homes[entry.file]):
        for name in (f"{own}_mask", own):
            if (folder, name) in by_name:
                return distance, by_name[folder, name]
    return None
