"""Which images a memory takes, what it records of them, and what must not be used with it again."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from importlib.metadata import version
from typing import Any

from calibrate.datasets.sample import Sample, data_sha256
from calibrate.datasets.units import split_units
from calibrate.errors import RefusedError
from fbclip.errors import ConfigError
from fbclip.images.framing import Framing
from fbclip.images.window import DEFAULT_WINDOW, Window
from fbclip.memory.bank import Memory

_OPTIONS = {"roi": "--roi", "tiling": "--tiles", "window": "--window"}


def take_units(normal: Sequence[Sample], wanted: str) -> tuple[list[Sample], int]:
    """`40%` or `200` of the normal units, in the order of their digests -> (their samples, number of units left).

    Raises ConfigError for another form, RefusedError for more units than there are.
    """
    total = len({sample.unit for sample in normal})
    match = re.fullmatch(r"(\d{1,7})(%?)", wanted)
    if match is None or int(match[1]) < 1 or (match[2] and int(match[1]) > 100):
        raise ConfigError(f"--units {wanted!r} must be a share such as 40% or a number of units such as 200")
    count = max(1, round(int(match[1]) * total / 100)) if match[2] else int(match[1])
    if count > total:
        raise RefusedError(f"--units {wanted}: there are {total} normal units")
    return split_units(normal, count)[0], total - count


def leave_out(normal: Sequence[Sample], seen: Set[str], memory: str) -> tuple[list[Sample], list[str]]:
    """(the normal samples without the units of which a memory has seen an image, notes: how many those are).

    `seen` are sha256 of images, `memory` names it. Raises RefusedError when nothing is left.
    """
    units = {sample.unit for sample in normal if sample.sha256 in seen}
    if not units:
        return list(normal), []
    rest = [sample for sample in normal if sample.unit not in units]
    if not rest:
        raise RefusedError(
            f"all {len(units)} normal units are in the memory {memory}; a threshold needs other ones: "
            "add images, or make the memory of a part of them with --units 40%"
        )
    return rest, [f"{len(units)} normal units were seen by the memory {memory} and do not set the threshold"]


def images_record(used: Sequence[Sample], outliers: Sequence[Sample], base: Memory | None) -> dict[str, Any]:
    """Provenance: `pictures` are in the memory, `outliers` were left out of it, both by the sha256 of their files.

    Those of `base` come first; data_sha256 has one entry for each time that images were added.
    """
    before = {} if base is None else dict(base.manifest.provenance)
    return {
        "made_by": f"calibrate memory {version('fbclip-inspect')}",
        "data_sha256": [*before.get("data_sha256", []), data_sha256([*used, *outliers])],
        "units": before.get("units", 0) + len({sample.unit for sample in (*used, *outliers)}),
        "pictures": [*before.get("pictures", []), *sorted(sample.sha256 for sample in used)],
        "outliers": [*before.get("outliers", []), *sorted(sample.sha256 for sample in outliers)],
    }


def framing_record(framing: Framing) -> dict[str, Any]:
    """Provenance: what the surroundings of a token depend on."""
    return {
        "roi": None if framing.roi is None else framing.roi.model_dump(),
        "tiling": None if framing.tiling is None else framing.tiling.model_dump(),
        # Memories of earlier versions name none: all images had their full range.
        "window": None if framing.window == DEFAULT_WINDOW else _plain(framing.window),
    }


def _plain(window: Window) -> str | list[float]:
    return window if isinstance(window, str) else list(window)


def check_framing(memory: Memory, framing: Framing) -> None:
    """Raises ConfigError for another region of interest or other tiles than those a memory was made with."""
    for name, value in framing_record(framing).items():
        made = memory.manifest.provenance.get(name)
        if made != value:
            raise ConfigError(
                f"{_OPTIONS[name]}: memory {memory.id[:12]} was made with {made or 'none'}, asked for is "
                f"{value or 'none'}"
            )
