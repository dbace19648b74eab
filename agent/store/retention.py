"""What the disk keeps: images of ok frames go first, then the oldest; rows go by age; unsent alerts never go."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import case, delete, select, update

from agent.config.services import RetentionSection
from agent.store.engine import Database
from agent.store.schema import events, inspections, outbox
from fbclip.decision import Verdict

MB = 1 << 20
ROWS_A_TURN = 500


@dataclass(frozen=True)
class Pruned:
    """What one turn removed; `free_bytes` is what the disk has afterwards."""

    images: int
    inspections: int
    messages: int
    free_bytes: int


def free_bytes(data_dir: Path) -> int:
    """Free space of the disk below `data_dir`."""
    return shutil.disk_usage(data_dir).free


def prune(
    database: Database,
    data_dir: Path,
    retention: RetentionSection,
    now: datetime,
    free: Callable[[Path], int] = free_bytes,
) -> Pruned:
    """One turn: images down to the limits, then rows older than `days`. Raises StoreError.

    `now` is UTC. Rows of open events stay; an image that is gone already is fine.
    """
    # Images first: on a full disk even deleting rows needs room for the WAL.
    images = _prune_images(database, data_dir, retention, free)
    before = now.astimezone(UTC) - timedelta(days=retention.days)
    with database.transaction() as connection:
        messages = connection.execute(delete(outbox).where(outbox.c.sent < before)).rowcount
        connection.execute(delete(events).where(events.c.ended < before))
        still_open = select(events.c.inspection_id).where(events.c.ended.is_(None), events.c.inspection_id.is_not(None))
        old = (
            select(inspections)
            .where(inspections.c.ts < before, inspections.c.id.not_in(still_open))
            .order_by(inspections.c.id)
            .limit(ROWS_A_TURN)
        )
        rows = connection.execute(old).all()
        connection.execute(delete(inspections).where(inspections.c.id.in_([row.id for row in rows])))
    for row in rows:
        images += sum(_remove(data_dir, ref) > 0 for ref in (row.image_ref, row.overlay_ref) if ref)
    if rows or messages:
        database.reclaim()
    return Pruned(images, len(rows), messages, free(data_dir))


def _prune_images(database: Database, data_dir: Path, retention: RetentionSection, free: Callable[[Path], int]) -> int:
    query = (
        select(inspections.c.id, inspections.c.image_ref, inspections.c.overlay_ref)
        .where(inspections.c.image_ref.is_not(None) | inspections.c.overlay_ref.is_not(None))
        .order_by(case((inspections.c.verdict == Verdict.OK, 0), else_=1), inspections.c.id)
    )
    with database.transaction() as connection:
        rows = connection.execute(query).all()
    sizes = {ref: _size(data_dir / ref) for row in rows for ref in (row.image_ref, row.overlay_ref) if ref}
    too_much = max(
        sum(sizes.values()) - int(retention.pictures_mb * MB), int(retention.min_free_mb * MB) - free(data_dir)
    )
    removed, gone = 0, []
    for row in rows:
        if too_much <= 0:
            break
        for ref in (row.image_ref, row.overlay_ref):
            if ref:
                freed = _remove(data_dir, ref)
                too_much -= freed
                removed += freed > 0
        gone.append(row.id)
    for start in range(0, len(gone), ROWS_A_TURN):
        with database.transaction() as connection:
            some = inspections.c.id.in_(gone[start : start + ROWS_A_TURN])
            connection.execute(update(inspections).where(some).values(image_ref=None, overlay_ref=None))
    return removed


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _remove(data_dir: Path, ref: str) -> int:
    """Bytes freed; 0 if the image was gone or cannot be removed."""
    path = data_dir / ref
    size = _size(path)
    try:
        path.unlink()
    except OSError:
        return 0
    return size
