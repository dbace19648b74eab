"""What a memory says of its making: which images it has seen, and how they were looked at."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from calibrate.datasets.sample import Sample, data_sha256
from fbclip.errors import ConfigError
from fbclip.images.framing import Framing
from fbclip.memory.bank import Memory

_OPTIONS = {"roi": "--roi", "tiling": "--tiles"}


def images_record(used: Sequence[Sample], outliers: Sequence[Sample], base: Memory | None) -> dict[str, Any]:
    """`images` are in the memory, `outliers` were left out of it, both by the sha256 of their files.

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


def seen_by(memory: Memory) -> frozenset[str]:
    """sha256 of every image that had a say in a memory: those in it, and those left out of it as outliers."""
    lists = [memory.manifest.provenance.get(name, []) for name in ("pictures", "outliers")]
    return frozenset(p for found in lists if isinstance(found, list) for p in found if isinstance(p, str))


def framing_record(framing: Framing) -> dict[str, Any]:
    """What the surroundings of a token depend on."""
    return {
        "roi": None if framing.roi is None else framing.roi.model_dump(),
        "tiling": None if framing.tiling is None else framing.tiling.model_dump(),
    }


def check_framing(memory: Memory, framing: Framing) -> None:
    """Raises ConfigError for another region of interest or other tiles than those a memory was made with."""
    for name, value in framing_record(framing).items():
        made = memory.manifest.provenance.get(name)
        if made != value:
            raise ConfigError(
                f"{_OPTIONS[name]}: memory {memory.id[:12]} was made with {made or 'none'}, asked for is "
                f"{value or 'none'}"
            )
