"""The memory of which files are of one series, as a folder sees it; the daemon's is in the database."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from agent.records import EarlierFile


class SeriesMemory(Protocol):
    """`series` is a digest of identifiers, which is kept only under the key of this machine."""

    def hold(self, file_id: int, line: str, series: str, sha256: str) -> None:
        """A claimed file waits for the rest of its series; it is pending again meanwhile."""

    def claim(self, file_ids: Collection[int]) -> frozenset[int]:
        """Take those for judging that are pending; returns which."""

    def release(self, file_ids: Collection[int]) -> None:
        """What was claimed waits on."""

    def earlier(self, line: str, series: str) -> tuple[EarlierFile, ...]:
        """Files of the series that were judged, oldest first."""
