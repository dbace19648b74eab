"""What the disk keeps: images of ok frames go first; rows go by age, number and size, those of anomalies last.

Unsent messages, open events, files that still lie in their folder and inspections with feedback never go. A turn is
short, and there is one each second, so that pruning keeps up with writing and nobody waits for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import ColumnElement, Table, delete, func, select, true

from agent.config.services import RetentionSection
from agent.records import Disposition
from agent.store.age import DAY_S, DatabaseAge, Horizon
from agent.store.ballast import disk_usage
from agent.store.engine import Database
from agent.store.pictures import bytes_of_pictures, remove, remove_oldest, remove_unnamed
from agent.store.schema import HAS_FEEDBACK, audit, events, files, inspections, outbox
from fbclip.decision import Verdict

log = logging.getLogger(__name__)
MB = 1 << 20
ROWS_A_STEP = 500
TURN_S = 0.25
LOOK_S = 60.0
PAGES_A_TURN = 2000
# What the rows of the next minutes need at once need not be given back.
SPARE_PAGES = 1000
PLAIN = (Verdict.OK, Verdict.REJECTED)
KEPT_LONGER = (Verdict.UNCERTAIN, Verdict.ANOMALY)


@dataclass(frozen=True)
class Pruned:
    """What one turn removed."""

    images: int
    inspections: int
    events: int
    messages: int
    files: int


class Retention:
    """Owned by one thread. `run` is the one that writes images now; `usage` total and free bytes of a folder's disk."""

    def __init__(
        self,
        database: Database,
        data_dir: Path,
        section: RetentionSection,
        run: str,
        usage: Callable[[Path], tuple[int, int]] = disk_usage,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._data_dir = data_dir
        self._section = section
        self._run = run
        self._usage = usage
        self._clock = clock
        self._plain_s = section.days * DAY_S
        self._longer_s = max(section.days, section.anomaly_days or section.days) * DAY_S
        self._age = DatabaseAge(database, self._plain_s, self._longer_s)
        self._looked = float("-inf")
        # Of earlier runs, so that there will be no more of them once all are looked at.
        self._unnamed = True
        self._pictures = 0
        self._rows = 0
        self._bytes = 0

    def turn(self, wall: datetime) -> Pruned:
        """Remove what is too much, for `TURN_S` at most; `wall` is the time by the clock on the wall.

        Raises StoreError.
        """
        now = self._clock()

        def in_time() -> bool:
            return self._clock() < now + TURN_S

        if now - self._looked >= LOOK_S:
            self._look()
            self._looked = now
        # Images first: on a full disk even deleting rows needs room for the WAL.
        images = self._prune_images(in_time)
        self._age.step(now, wall)
        aged, longer = self._age.horizon(self._plain_s), self._age.horizon(self._longer_s)
        rows = self._prune_inspections(PLAIN, inspections.c.id <= aged.inspection_id, in_time)
        rows += self._prune_inspections(KEPT_LONGER, inspections.c.id <= longer.inspection_id, in_time)
        rows += self._prune_surplus(in_time)
        ended, sent, moved = self._prune_others(aged, longer, in_time)
        self._database.reclaim(PAGES_A_TURN, SPARE_PAGES)
        return Pruned(images, rows, ended, sent, moved)

    def _look(self) -> None:
        """What counting costs is done once a minute."""
        self._pictures = bytes_of_pictures(self._data_dir)
        own = select(func.count()).select_from(inspections).where(self._database.own(inspections))
        with self._database.transaction() as connection:
            self._rows = int(connection.execute(own).scalar_one())
            self._bytes = 0
            if self._database.is_sqlite:
                pages, unused, size = (
                    int(connection.exec_driver_sql(f"PRAGMA main.{name}").scalar_one())
                    for name in ("page_count", "freelist_count", "page_size")
                )
                self._bytes = (pages - unused) * size

    def _prune_images(self, in_time: Callable[[], bool]) -> int:
        total, free = self._usage(self._data_dir)
        # More than a small disk can give is not asked of it: every image would go at once.
        wanted = min(int(self._section.min_free_mb * MB), total * 3 // 8)
        too_much = max(self._pictures - int(self._section.pictures_mb * MB), wanted - free)
        if too_much <= 0 or not self._pictures:
            return 0
        images = freed = 0
        if self._unnamed:
            freed = remove_unnamed(self._database, self._data_dir, self._run, too_much, in_time)
            self._unnamed = freed >= too_much or not in_time()
        if freed < too_much:
            images, more = remove_oldest(self._database, self._data_dir, too_much - freed, in_time)
            freed += more
        self._pictures = max(0, self._pictures - freed)
        return images

    def _prune_surplus(self, in_time: Callable[[], bool]) -> int:
        """Rows beyond `rows`, or of a file beyond `database_mb`: the oldest, anomalies last."""
        done = 0
        for verdicts in (PLAIN, KEPT_LONGER):
            while in_time() and (surplus := self._surplus()) > 0:
                gone = self._delete_inspections(verdicts, inspections.c.id > 0, min(surplus, ROWS_A_STEP))
                if not gone:
                    break
                self._bytes -= self._bytes * gone // max(self._rows, 1)
                self._rows -= gone
                done += gone
        return done

    def _surplus(self) -> int:
        by_rows = self._rows - self._section.rows
        limit = self._section.database_mb * MB
        by_size = 0 if self._bytes <= limit else int(self._rows * (1 - limit / self._bytes)) + 1
        return max(by_rows, by_size)

    def _prune_inspections(
        self, verdicts: Collection[Verdict], where: ColumnElement[bool], in_time: Callable[[], bool]
    ) -> int:
        done = 0
        while in_time():
            gone = self._delete_inspections(verdicts, where, ROWS_A_STEP)
            self._rows -= gone
            done += gone
            if gone < ROWS_A_STEP:
                break
        return done

    def _delete_inspections(self, verdicts: Collection[Verdict], where: ColumnElement[bool], limit: int) -> int:
        own = self._database.own(inspections)
        still_open = select(events.c.inspection_id).where(
            self._database.own(events), events.c.ended.is_(None), events.c.inspection_id.is_not(None)
        )
        # One verdict at a time, each along its index.
        done = 0
        for verdict in verdicts:
            query = (
                select(inspections.c.id, inspections.c.image_ref, inspections.c.overlay_ref)
                .where(own, inspections.c.verdict == verdict, where, inspections.c.id.not_in(still_open), ~HAS_FEEDBACK)
                .where(inspections.c.id < select(func.max(inspections.c.id)).scalar_subquery())
                .order_by(inspections.c.id)
                .limit(limit - done)
            )
            with self._database.transaction() as connection:
                rows = connection.execute(query).all()
                if rows:
                    connection.execute(delete(inspections).where(inspections.c.id.in_([row.id for row in rows])))
            for row in rows:
                self._pictures -= sum(remove(self._data_dir, ref) for ref in (row.image_ref, row.overlay_ref) if ref)
            done += len(rows)
            if done >= limit:
                break
        return done

    def _prune_others(self, aged: Horizon, longer: Horizon, in_time: Callable[[], bool]) -> tuple[int, int, int]:
        ended = self._delete(events, events.c.id <= longer.event_id, events.c.ended.is_not(None), in_time)
        sent = self._delete(outbox, outbox.c.id <= aged.outbox_id, outbox.c.sent.is_not(None), in_time)
        self._delete(audit, audit.c.id <= longer.audit_id, true(), in_time)
        # A judged file that still lies in its folder must not be judged again.
        finished = files.c.disposition == Disposition.FINISHED
        return ended, sent, self._delete(files, files.c.id <= aged.file_id, finished, in_time)

    def _delete(
        self, table: Table, old: ColumnElement[bool], over: ColumnElement[bool], in_time: Callable[[], bool]
    ) -> int:
        done = 0
        last = select(func.max(table.c.id)).scalar_subquery()
        # A file has one agent, and named it leads SQLite to an index that it must sort whole rather than to the ids.
        own = true() if self._database.is_sqlite else self._database.own(table)
        while in_time():
            some = select(table.c.id).where(own, old, over, table.c.id < last).order_by(table.c.id).limit(ROWS_A_STEP)
            with self._database.transaction() as connection:
                gone = connection.execute(delete(table).where(table.c.id.in_(some))).rowcount
            done += gone
            if gone < ROWS_A_STEP:
                break
        return done
