"""Which normal units a memory takes, and which are left for the threshold: no unit serves both."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import replace

from calibrate.datasets.line_data import LineData
from calibrate.datasets.sample import Sample
from calibrate.datasets.splits import split_units
from calibrate.errors import RefusedError
from fbclip.errors import ConfigError


def take_units(normal: tuple[Sample, ...], wanted: str) -> tuple[list[Sample], int]:
    """`40%` or `200` of the normal units, in the order of their digests -> (their samples, number of units left).

    Raises ConfigError for another word, RefusedError for more units than there are.
    """
    total = len({sample.unit for sample in normal})
    match = re.fullmatch(r"(\d{1,7})(%?)", wanted)
    if match is None or int(match[1]) < 1 or (match[2] and int(match[1]) > 100):
        raise ConfigError(f"--units {wanted!r} must be a share such as 40% or a number of units such as 200")
    count = max(1, round(int(match[1]) * total / 100)) if match[2] else int(match[1])
    if count > total:
        raise RefusedError(f"--units {wanted}: there are {total} normal units")
    return split_units(normal, count)[0], total - count


def leave_out(data: LineData, seen: Set[str], memory: str) -> LineData:
    """Line data without the normal units of which a memory has seen an image; a note says how many those are.

    `seen` are sha256 of images, `memory` names it. Raises RefusedError when nothing is left.
    """
    units = {sample.unit for sample in data.normal if sample.sha256 in seen}
    if not units:
        return data
    rest = tuple(sample for sample in data.normal if sample.unit not in units)
    if not rest:
        raise RefusedError(
            f"all {data.normal_units} normal units are in the memory {memory}; a threshold needs other ones: "
            "add images, or make the memory of a part of them with --units 40%"
        )
    note = f"{len(units)} normal units were seen by the memory {memory} and do not set the threshold"
    return replace(data, normal=rest, notes=(*data.notes, note))
