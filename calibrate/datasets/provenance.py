"""Which images an adapter or a memory has seen, by what it says of its making."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fbclip.artefacts.adapter import load_adapter
from fbclip.memory.bank import Memory


def tuned_on(adapter: Path) -> frozenset[str]:
    """sha256 of the images an adapter was tuned on; empty for one that does not say. Raises AdapterError."""
    return _digests(load_adapter(adapter).manifest.provenance, "pictures")


def seen_by(memory: Memory) -> frozenset[str]:
    """sha256 of every image that had a say in a memory: those in it, and those left out of it as outliers."""
    return _digests(memory.manifest.provenance, "pictures", "outliers")


def _digests(provenance: Mapping[str, Any], *fields: str) -> frozenset[str]:
    lists = [provenance.get(name) for name in fields]
    return frozenset(p for found in lists if isinstance(found, list) for p in found if isinstance(p, str))
