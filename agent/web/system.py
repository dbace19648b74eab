"""What the page of the system shows: outbox, broker, disk, detector, versions. Values only; others measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.store.reader import StoreStatus
from agent.store.views import AuditRow


@dataclass(frozen=True)
class DiskUse:
    """Bytes of the disk that holds the data directory, and of the pictures' share of it."""

    total: int
    free: int

    @property
    def used_share(self) -> float:
        return 0.0 if self.total == 0 else 1 - self.free / self.total


@dataclass(frozen=True)
class DetectorUse:
    """`share`: of the last minute, 0..1."""

    backbone: str
    device: str
    precision: str
    share: float
    adapters: int
    memories: int


@dataclass(frozen=True)
class SystemView:
    """`store` is None where it cannot be read."""

    run: str
    store: StoreStatus | None
    broker: str
    broker_url: str
    disk: DiskUse
    detector: DetectorUse
    versions: Sequence[tuple[str, str]]
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()
    audit: Sequence[AuditRow] = field(default=())
